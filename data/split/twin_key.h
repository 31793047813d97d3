// Which documents are twins: one page in several formats.
#ifndef MILLRACE_DATA_SPLIT_TWIN_KEY_H_
#define MILLRACE_DATA_SPLIT_TWIN_KEY_H_

#include "absl/strings/string_view.h"

namespace millrace::data {

// Documents with the same key are twins. The key is the id without its extension: "doc/page.txt", "doc/page.html" and
// "doc/page.txt.gz" have "doc/page". An extension is a '.' and up to 8 ASCII letters and digits with at least one
// letter at the end of the last path component, which it must not be the whole of; ".gz" and ".zst" behind it do not
// count. An id without one ("corpus.jsonl:17", "ls.1", ".profile") is its own key.
absl::string_view TwinKey(absl::string_view id);

}  // namespace millrace::data

#endif  // MILLRACE_DATA_SPLIT_TWIN_KEY_H_
