#include "data/tokenizer/tokenize_stage.h"

int main() { return millrace::StageMain<millrace::Tokenize>(millrace::data::TokenizeStage); }
