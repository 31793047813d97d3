#!/usr/bin/env python3
"""What a train stage leaves for Hugging Face's libraries, read with the packages safetensors and tokenizers."""

import array
import glob
import json
import math
import os
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))
sys.path.insert(0, os.path.join(os.environ["TEST_SRCDIR"], "hugging_face", "site"))
import safetensors
import tokenizers
from workspace import Workspace


def expected_shapes(config):
    """Tensor name -> shape of a Llama-shaped model with an untied head."""
    hidden, intermediate = config["hidden_size"], config["intermediate_size"]
    head_dim = hidden // config["num_attention_heads"]
    query, key_value = config["num_attention_heads"] * head_dim, config["num_key_value_heads"] * head_dim
    shapes = {"model.embed_tokens.weight": [config["vocab_size"], hidden], "model.norm.weight": [hidden],
              "lm_head.weight": [config["vocab_size"], hidden]}
    for layer in range(config["num_hidden_layers"]):
        for name, shape in {"input_layernorm": [hidden], "post_attention_layernorm": [hidden],
                            "self_attn.q_proj": [query, hidden], "self_attn.k_proj": [key_value, hidden],
                            "self_attn.v_proj": [key_value, hidden], "self_attn.o_proj": [hidden, query],
                            "mlp.gate_proj": [intermediate, hidden], "mlp.up_proj": [intermediate, hidden],
                            "mlp.down_proj": [hidden, intermediate]}.items():
            shapes["model.layers.%d.%s.weight" % (layer, name)] = shape
    return shapes


class HuggingFaceTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.workspace = Workspace()
        cls.workspace.run("--only=pretrain")
        cls.folder = cls.workspace.path("millrace-out/small/pretrain/hugging_face")

    @classmethod
    def tearDownClass(cls):
        cls.workspace.remove()

    def read(self, name):
        with open(os.path.join(self.folder, name), "rb") as f:
            return f.read()

    def test_safetensors_reads_every_weight(self):
        config = json.loads(self.read("config.json"))
        self.assertEqual(config["model_type"], "llama")
        tensors = dict(safetensors.deserialize(self.read("model.safetensors")))
        self.assertEqual({name: list(tensor["shape"]) for name, tensor in tensors.items()}, expected_shapes(config))
        for name, tensor in tensors.items():
            self.assertEqual(tensor["dtype"], "F32", name)
            values = array.array("f", bytes(tensor["data"]))
            self.assertEqual(len(values), math.prod(tensor["shape"]), name)
            self.assertTrue(all(map(math.isfinite, values)), name)
            self.assertGreater(max(map(abs, values)), 0, name)
        # The package tells no metadata without torch or numpy; transformers asks for this.
        content = self.read("model.safetensors")
        header = json.loads(content[8:8 + int.from_bytes(content[:8], "little")])
        self.assertEqual(header["__metadata__"], {"format": "pt"})

    def test_tokenizers_gives_the_ids_that_we_give(self):
        tokenizer = tokenizers.Tokenizer.from_file(os.path.join(self.folder, "tokenizer.json"))
        config = json.loads(self.read("config.json"))
        self.assertEqual(tokenizer.get_vocab_size(), config["vocab_size"])
        end = json.loads(self.read("tokenizer_config.json"))["eos_token"]
        self.assertEqual(tokenizer.token_to_id(end), config["eos_token_id"])
        for source in glob.glob(self.workspace.path("text/*/*.jsonl")):
            with open(source, encoding="utf-8") as f:
                texts = [json.loads(line)["text"] for line in f]
            for text, ids in zip(texts, self.workspace.encode(self.folder, source), strict=True):
                self.assertEqual(tokenizer.encode(text, add_special_tokens=False).ids, ids)
                self.assertEqual(tokenizer.decode(ids), text)


if __name__ == "__main__":
    unittest.main()
