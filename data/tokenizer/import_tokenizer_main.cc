#include "data/tokenizer/import_tokenizer_stage.h"

int main() { return millrace::StageMain<millrace::Tokenizer>(millrace::data::ImportTokenizerStage); }
