#include "data/tokenizer/train_tokenizer_stage.h"

int main() { return millrace::StageMain<millrace::TrainTokenizer>(millrace::data::TrainTokenizerStage); }
