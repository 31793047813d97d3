#include "data/dedup/dedup_stage.h"
#include "pipelines/protocol/stage.h"
#include "pipelines/schema/dedup.pb.h"

int main() { return millrace::StageMain<millrace::Dedup>(millrace::data::RunDedup); }
