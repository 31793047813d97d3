#include "data/tokenizer/train_tokenizer_stage.h"
#include "pipelines/protocol/stage.h"
#include "pipelines/schema/tokenizer.pb.h"

int main() { return millrace::StageMain<millrace::TrainTokenizer>(millrace::data::TrainTokenizerStage); }
