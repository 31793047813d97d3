#include "data/corpus/corpus_stage.h"
#include "pipelines/protocol/stage.h"
#include "pipelines/schema/corpus.pb.h"

int main() { return millrace::StageMain<millrace::Corpus>(millrace::data::RunCorpus); }
