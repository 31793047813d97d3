#include "data/filter/filter_stage.h"
#include "pipelines/protocol/stage.h"
#include "pipelines/schema/filter.pb.h"

int main() { return millrace::StageMain<millrace::Filter>(millrace::data::RunFilter); }
