"""What we train loads in Hugging Face's libraries and gives the same ids there.

    huggingface_check.py TRAIN_TOKENIZER ENCODE INPUT.jsonl [VOCAB_SIZE]

TRAIN_TOKENIZER and ENCODE are our programs. For each pre-tokenizer: trains on the documents of INPUT, encodes them with
ENCODE, and compares every document's ids with those of `tokenizers` and of transformers' AutoTokenizer.
"""

import array
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

import tokenizers
import transformers


def write_documents(folder, texts):
    folder.mkdir(parents=True)
    with open(folder / "documents-00000.jsonl", "w", encoding="utf-8") as file:
        for i, text in enumerate(texts):
            file.write(json.dumps({"id": str(i), "text": text}, ensure_ascii=False, separators=(",", ":")) + "\n")
    size = sum(len(text.encode()) for text in texts)
    (folder / "manifest.json").write_text(json.dumps({"documents": len(texts), "bytes": size, "sources": 1}))


def train(program, work, pre_tokenizer, vocab_size):
    (work / "out" / "tokenizer").mkdir(parents=True)
    request = {
        "kind": "train_tokenizer",
        "parameters": {
            "@type": "type.googleapis.com/millrace.TrainTokenizer",
            "vocabSize": vocab_size,
            "preTokenizer": pre_tokenizer,
        },
        "input": [{"name": "from.0", "path": "../documents"}],
        "output": [{"name": "tokenizer", "path": "out/tokenizer"}],
    }
    (work / "request.json").write_text(json.dumps(request))
    environment = {**os.environ, "MILLRACE_REQUEST": "request.json", "MILLRACE_EVENTS": "events"}
    begin = time.monotonic()
    subprocess.run([program], cwd=work, env=environment, check=True)
    print(f"{pre_tokenizer}: trained in {time.monotonic() - begin:.2f} s")
    return work / "out" / "tokenizer"


def encode(program, tokenizer, source, out):
    subprocess.run([program, f"--tokenizer={tokenizer}", f"--input={source}", f"--output_dir={out}", "--threads=2"],
                   check=True)
    ids, offsets = array.array("I"), array.array("Q")
    ids.frombytes((out / "ids.u32").read_bytes())
    offsets.frombytes((out / "offs.u64").read_bytes())
    return [ids[a:b].tolist() for a, b in zip(offsets, offsets[1:])]


def main():
    train_program, encode_program, source = (os.path.abspath(path) for path in sys.argv[1:4])
    vocab_size = int(sys.argv[4]) if len(sys.argv) > 4 else 1024
    texts = [json.loads(line)["text"] for line in open(source, encoding="utf-8")]
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder)
        write_documents(root / "documents", texts)
        for pre_tokenizer in ["DEEPSEEK_LLM", "DEEPSEEK_CODER", "DEEPSEEK_V3", "GPT2"]:
            work = root / pre_tokenizer.lower()
            trained = train(train_program, work, pre_tokenizer, vocab_size)
            ours = encode(encode_program, trained, source, work / "encoded")
            fast = tokenizers.Tokenizer.from_file(str(trained / "tokenizer.json"))
            auto = transformers.AutoTokenizer.from_pretrained(str(trained))
            assert fast.get_vocab_size() == vocab_size == len(auto), (fast.get_vocab_size(), len(auto))
            assert auto.eos_token_id == 0 and auto.eos_token == "<|end_of_text|>", auto.eos_token
            for number, (text, ids) in enumerate(zip(texts, ours, strict=True)):
                assert fast.encode(text, add_special_tokens=False).ids == ids, (pre_tokenizer, number)
                assert auto.encode(text, add_special_tokens=False) == ids, (pre_tokenizer, number)
                assert fast.decode(ids, skip_special_tokens=False) == text, (pre_tokenizer, number)
                assert auto.decode(ids) == text, (pre_tokenizer, number)
            print(f"{pre_tokenizer}: {len(texts)} documents, {sum(map(len, ours))} ids, all equal")


if __name__ == "__main__":
    main()
