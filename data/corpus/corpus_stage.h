// The `corpus` stage: documents from the user's files (pipelines/schema/corpus.proto).
//
// Input "files": a folder; its files are read in the byte order of their relative paths. Output "documents", one
// source. The id of a document is the value of `id_field` (a string or an integer), else "relative/path:LINE", or
// "relative/path" for a plain text file. A line (or plain text file) that is not UTF-8, is not a JSON object, lacks a
// field that is asked for or is longer than 512 MiB is bad: counted, the first five reported, and no document. Lines of
// nothing but spaces are no documents; a JSONL file of no others is warned of.
//
// `take` = about so many bytes: in the order of SHA-256(seed as 8 bytes little-endian, text), documents are taken while
// those before them have fewer bytes than that; at most one document too many. They keep the order of the files. The
// files are read twice; memory grows with what is taken (24 bytes a document) and not with what is read.
//
// Metrics: files, files_empty, documents_read, bytes_read, documents_bad,
// documents_bad.{not_utf8,not_json,no_text,no_id,too_long}, documents, bytes (of text).
#ifndef MILLRACE_DATA_CORPUS_CORPUS_STAGE_H_
#define MILLRACE_DATA_CORPUS_CORPUS_STAGE_H_

#include "absl/status/status.h"
#include "pipelines/protocol/stage.h"
#include "pipelines/schema/corpus.pb.h"

namespace millrace::data {

absl::Status RunCorpus(Stage& stage, const Corpus& parameters);

}  // namespace millrace::data

#endif  // MILLRACE_DATA_CORPUS_CORPUS_STAGE_H_
