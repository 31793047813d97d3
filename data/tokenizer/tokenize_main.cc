#include "data/tokenizer/tokenize_stage.h"
#include "pipelines/protocol/stage.h"
#include "pipelines/schema/tokenizer.pb.h"

int main() { return millrace::StageMain<millrace::Tokenize>(millrace::data::TokenizeStage); }
