"""A user's workspace in a temporary folder: a small pipeline, its text, a home, and the real millrace program."""

import array
import json
import os
import random
import shutil
import signal
import subprocess
import tempfile

PIPELINE = """
name: "small"
seed: 7
reproducibility { leaf_sequences: 2 }
stage { name: "letters" corpus { files { glob: "text/letters/*.jsonl" } language: "en" } }
stage { name: "numbers" corpus { files { glob: "text/numbers/*.jsonl" } language: "en" } }
stage { name: "unique" dedup { from: "letters" from: "numbers" exact {} minhash {} } }
stage { name: "good" filter { from: "unique" rule { name: "size" bytes { min: 20 } } } }
stage { name: "parts" split { from: "good" held_out_fraction: 0.1 } }
stage { name: "tokenizer" train_tokenizer { from: "parts" vocab_size: 300 } }
stage { name: "tokens" tokenize { from: "parts" tokenizer: "tokenizer" } }
stage { name: "shards" pack { from: "tokens" sequence_length: 32 attend_across_documents: true } }
stage {
  name: "mixture"
  mix {
    component { from: "shards" source: "letters" weight: 0.5 max_epochs: 100 }
    component { from: "shards" source: "numbers" weight: 0.5 max_epochs: 100 }
  }
}
stage {
  name: "pretrain"
  train {
    data: "mixture"
    tokenizer: "tokenizer"
    model {
      num_hidden_layers: 1 hidden_size: 32 intermediate_size: 64 num_attention_heads: 2 num_key_value_heads: 1
      vocab_size: 300 max_position_embeddings: 32
    }
    precision: FP32
    global_batch_size: 8
    max_steps: 40
    optimizer { adamw { learning_rate: 1e-3 } }
    schedule { warmup_steps: 4 multi_step { milestone { at_fraction: 0.8 factor: 0.316 } } }
    validation { data: "shards.held_out" every_steps: 20 }
    checkpoint { every_steps: 10 }
    parallel { layout: FIXED data_parallel_size: 2 }
  }
}
stage {
  name: "quality"
  evaluate { model: "pretrain" tokenizer: "tokenizer" likelihood { data: "shards.held_out" } sample { prompt: "one" max_new_tokens: 8 } }
}
stage {
  name: "count"
  custom {
    command { argument: "sh" argument: "-c" argument: "cat $MILLRACE_INPUT_DOCUMENTS/*.jsonl | wc -l > $MILLRACE_OUTPUT_OUT/lines" }
    input { name: "documents" from: "unique" }
    output { name: "out" }
  }
}
"""

_WORDS = ("alpha bravo charlie delta echo foxtrot golf hotel india juliet kilo lima mike november oscar papa quebec romeo "
          "sierra tango uniform victor whiskey xray yankee zulu one two three four five six seven eight nine ten").split()


def write_corpus(folder, seed, documents=120):
    """Two files of made-up sentences, with some exact and near duplicates among them."""
    generator = random.Random(seed)
    os.makedirs(folder)
    texts = []
    for i in range(documents):
        words = [generator.choice(_WORDS) for _ in range(generator.randint(15, 60))]
        if i % 10 == 9:
            words = texts[-1].rstrip(".").split()
            if i % 20 == 9:
                words[len(words) // 2] = "changed"
        texts.append(" ".join(words) + ".")
    for part in range(2):
        with open(os.path.join(folder, "part%d.jsonl" % part), "w", encoding="utf-8") as f:
            for text in texts[part::2]:
                f.write(json.dumps({"text": text}) + "\n")


class Workspace:
    def __init__(self, root=None):
        self.root = root or tempfile.mkdtemp(prefix="e2e.", dir=os.environ.get("TEST_TMPDIR"))
        self.home = os.path.join(self.root, "home")
        self.folder = os.path.join(self.root, "workspace")
        os.makedirs(self.folder)
        open(os.path.join(self.folder, "WORKSPACE"), "w").close()
        self.write("small.textproto", PIPELINE)
        write_corpus(os.path.join(self.folder, "text/letters"), 1)
        write_corpus(os.path.join(self.folder, "text/numbers"), 2)

    def path(self, name):
        return os.path.join(self.folder, name)

    def write(self, name, text):
        with open(self.path(name), "w", encoding="utf-8") as f:
            f.write(text)

    def edit(self, name, old, new):
        with open(self.path(name), encoding="utf-8") as f:
            text = f.read()
        assert text.count(old) == 1, "%r is %d times in %s" % (old, text.count(old), name)
        self.write(name, text.replace(old, new))

    def command(self, *arguments, home=None):
        runfiles = os.environ["TEST_SRCDIR"]
        program = os.path.join(runfiles, "millrace", "millrace")
        return [program, arguments[0], "small.textproto", *arguments[1:], "--home=" + (home or self.home),
                "--manifest=" + os.path.join(runfiles, "millrace", "millrace_manifest.json"), "--runfiles=" + runfiles]

    def environment(self):
        kept = {k: v for k, v in os.environ.items() if k in ("PATH", "TEST_TMPDIR", "LANG")}
        return dict(kept, HOME=self.root, TMPDIR=self.root)

    def millrace(self, *arguments, home=None, timeout=300):
        """Runs to the end; returns the completed process, output as text."""
        return subprocess.run(self.command(*arguments, home=home), cwd=self.folder, env=self.environment(),
                              capture_output=True, text=True, timeout=timeout)

    def start(self, *arguments, home=None):
        return subprocess.Popen(self.command(*arguments, home=home), cwd=self.folder, env=self.environment(),
                                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True)

    def run(self, *arguments, expect=0, home=None):
        done = self.millrace("run", *arguments, home=home)
        assert done.returncode == expect, "exit %d, not %d\n%s\n%s" % (done.returncode, expect, done.stdout, done.stderr)
        return done

    def plan(self, *arguments, home=None):
        """Stage name -> {status, key, reason, ...}."""
        done = self.millrace("plan", "--format=json", *arguments, home=home)
        assert done.returncode == 0, done.stdout + done.stderr
        return {stage["name"]: stage for stage in json.loads(done.stdout)["stages"]}

    def to_run(self, *arguments, home=None):
        """Names of the stages that are not cached, in order."""
        return [name for name, stage in self.plan(*arguments, home=home).items() if stage["status"] != "cached"]

    def keys(self, home=None):
        return {name: stage["key"] for name, stage in self.plan(home=home).items()}

    def encode(self, tokenizer_folder, source):
        """The ids that data/tokenizer/encode gives the documents of a JSONL file."""
        out = tempfile.mkdtemp(dir=self.root)
        subprocess.run([os.path.join(os.environ["TEST_SRCDIR"], "millrace/data/tokenizer/encode"), "--threads=2",
                        "--tokenizer=" + tokenizer_folder, "--input=" + source, "--output_dir=" + out], check=True)
        ids, offsets = array.array("I"), array.array("Q")
        for values, name in ((ids, "ids.u32"), (offsets, "offs.u64")):
            with open(os.path.join(out, name), "rb") as f:
                values.frombytes(f.read())
        return [ids[begin:end].tolist() for begin, end in zip(offsets, offsets[1:])]

    def remove(self):
        shutil.rmtree(self.root, ignore_errors=True)


def kill_group(process):
    """SIGKILL to the executor alone: what it leaves behind is its supervisor's to end."""
    process.send_signal(signal.SIGKILL)
    process.wait()
    if process.stdout:
        process.stdout.close()
