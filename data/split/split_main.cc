#include "data/split/split_stage.h"
#include "pipelines/protocol/stage.h"
#include "pipelines/schema/split.pb.h"

int main() { return millrace::StageMain<millrace::Split>(millrace::data::RunSplit); }
