#!/usr/bin/env python3
"""The real program on a small pipeline with every kind of stage: what a change re-does, and what it does not."""

import json
import os
import shutil
import sys
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))
from workspace import Workspace

TRAIN_AND_AFTER = ["pretrain", "quality"]


class IncrementalTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.workspace = Workspace()
        cls.workspace.run()

    @classmethod
    def tearDownClass(cls):
        cls.workspace.remove()

    def setUp(self):
        self.keep = {}
        for directory, _, names in os.walk(self.workspace.folder):
            if "millrace-out" in directory:
                continue
            for name in names:
                path = os.path.join(directory, name)
                with open(path, "rb") as f:
                    self.keep[path] = f.read()

    def tearDown(self):
        for path, content in self.keep.items():
            with open(path, "wb") as f:
                f.write(content)

    def test_nothing_changed_nothing_runs(self):
        self.assertEqual(self.workspace.to_run(), [])
        done = self.workspace.run()
        self.assertIn("cached", done.stdout + done.stderr)

    def test_touch_without_change_runs_nothing(self):
        os.utime(self.workspace.path("text/letters/part0.jsonl"), (time.time(), time.time()))
        self.assertEqual(self.workspace.to_run(), [])

    def test_learning_rate_runs_training_and_what_follows(self):
        self.workspace.edit("small.textproto", "learning_rate: 1e-3", "learning_rate: 2e-3")
        self.assertEqual(self.workspace.to_run(), TRAIN_AND_AFTER)
        plan = self.workspace.plan()
        self.assertIn("learning_rate", plan["pretrain"]["reason"])
        self.assertIsNone(plan["quality"]["key"])

    def test_set_is_the_same_as_an_edit(self):
        by_flag = self.workspace.plan("--set=pretrain.learning_rate=2e-3")["pretrain"]["key"]
        self.workspace.edit("small.textproto", "learning_rate: 1e-3", "learning_rate: 2e-3")
        self.assertEqual(self.workspace.plan()["pretrain"]["key"], by_flag)

    def test_a_changed_file_runs_the_chain_behind_it(self):
        self.workspace.edit("text/numbers/part1.jsonl", self.first_text(), "now there is something else in this very document " + self.first_text())
        plan = self.workspace.plan()
        self.assertEqual(plan["letters"]["status"], "cached")
        self.assertEqual(plan["numbers"]["status"], "run")
        self.assertEqual(plan["quality"]["status"], "blocked")

    def first_text(self):
        with open(self.workspace.path("text/numbers/part1.jsonl"), encoding="utf-8") as f:
            return f.readline().split('"text": "')[1].split('"}')[0]

    def test_renaming_a_stage_runs_nothing(self):
        text = self.keep[self.workspace.path("small.textproto")].decode()
        self.workspace.write("small.textproto", text.replace('"unique"', '"distinct"'))
        self.assertEqual(self.workspace.to_run(), [])

    def test_fields_without_effect_run_nothing(self):
        self.workspace.edit("small.textproto", "every_steps: 10 }", "every_steps: 7 keep_last: 1 }")
        self.workspace.edit("small.textproto", "data_parallel_size: 2", "data_parallel_size: 1")
        self.workspace.edit("small.textproto", "every_steps: 20 }", "every_steps: 5 }")
        self.assertEqual(self.workspace.to_run(), [])

    def test_a_moved_checkout_and_another_home_have_the_same_keys(self):
        moved = Workspace()
        try:
            for directory in ("text/letters", "text/numbers"):
                shutil.rmtree(moved.path(directory))
                shutil.copytree(self.workspace.path(directory), moved.path(directory))
            moved.run("--jobs=1")
            self.assertEqual(moved.keys(), self.workspace.keys())
        finally:
            moved.remove()

    def test_a_longer_budget_goes_on_from_the_last_common_checkpoint(self):
        # 40 steps have the milestone after step 32; 80 steps after step 64. Up to step 32 they are the same, and the
        # last checkpoint before it is that of step 30.
        self.workspace.edit("small.textproto", "max_steps: 40", "max_steps: 80")
        self.assertEqual(self.workspace.to_run(), TRAIN_AND_AFTER)
        explained = self.workspace.millrace("explain", "pretrain")
        self.assertEqual(explained.returncode, 0, explained.stderr)
        self.assertIn("30", explained.stdout)
        self.workspace.run()
        longer = self.workspace.keys()
        # Straight to 80 steps in an empty home: the same bits.
        other_home = os.path.join(self.workspace.root, "home80")
        self.workspace.run("--force=pretrain", home=other_home)
        self.assertEqual(self.workspace.keys(home=other_home), longer)

    def test_more_epochs_are_trained_on_from_where_the_data_differ(self):
        # The mixture goes on for longer; the steps that were done read the same, so that even their end is there.
        self.workspace.edit("small.textproto", 'source: "letters" weight: 0.5 max_epochs: 100', 'source: "letters" weight: 0.5 max_epochs: 120')
        self.workspace.edit("small.textproto", 'source: "numbers" weight: 0.5 max_epochs: 100', 'source: "numbers" weight: 0.5 max_epochs: 120')
        self.assertEqual(self.workspace.to_run(), ["mixture", "pretrain", "quality"])
        done = self.workspace.run("--format=json")
        self.assertEqual([s["name"] for s in json.loads(done.stdout)["stages"] if s["state"] != "cached"], ["mixture"])
        # Other shares differ from the first step on.
        self.workspace.edit("small.textproto", 'source: "letters" weight: 0.5', 'source: "letters" weight: 0.25')
        self.workspace.edit("small.textproto", 'source: "numbers" weight: 0.5', 'source: "numbers" weight: 0.75')
        self.workspace.run("--only=mixture")
        self.assertIn("steps 1 to 10 would read other data", self.workspace.plan()["pretrain"]["actions"][0]["prefix_reason"])

    def test_results_are_easy_to_find(self):
        out = self.workspace.path("millrace-out/small")
        for name in ("report.html", "pretrain/hugging_face/model.safetensors", "pretrain/hugging_face/tokenizer.json"):
            self.assertTrue(os.path.exists(os.path.join(out, name)), name)
        with open(os.path.join(out, "count", "lines") if os.path.exists(os.path.join(out, "count", "lines")) else os.path.join(out, "count/out/lines")) as f:
            self.assertGreater(int(f.read()), 100)


class ErrorsTest(unittest.TestCase):
    def setUp(self):
        self.workspace = Workspace()

    def tearDown(self):
        self.workspace.remove()

    def test_two_typos_are_two_errors_and_nothing_runs(self):
        self.workspace.edit("small.textproto", 'from: "unique" rule', 'from: "unqiue" rule')
        self.workspace.edit("small.textproto", "learning_rate: 1e-3", "learning_rte: 1e-3")
        done = self.workspace.millrace("run")
        self.assertEqual(done.returncode, 2)
        self.assertIn('"unqiue"', done.stderr)
        self.assertIn("learning_rte", done.stderr)
        self.assertIn("small.textproto:", done.stderr)
        self.assertFalse(os.path.exists(self.workspace.path("millrace-out")))

    def test_a_failing_stage_shows_its_log_and_how_to_run_it_again(self):
        self.workspace.edit("small.textproto", "cat $MILLRACE_INPUT_DOCUMENTS/*.jsonl | wc -l > $MILLRACE_OUTPUT_OUT/lines",
                            "echo the mill stands still >&2; exit 3")
        done = self.workspace.millrace("run", "--only=count")
        self.assertEqual(done.returncode, 1, done.stdout + done.stderr)
        self.assertIn("the mill stands still", done.stdout + done.stderr)
        self.assertIn("--only=count", done.stdout + done.stderr)

    def test_a_layout_that_does_not_fit_is_refused_beneath_what_would(self):
        self.workspace.write("tight.textproto", """
            cluster { name: "tight" local {} pool { name: "cpu" host { name: "here" } cpus: 2 memory: "300MiB" } }
        """)
        done = self.workspace.millrace("plan", "--cluster=tight.textproto")
        self.assertEqual(done.returncode, 2, done.stdout + done.stderr)
        self.assertIn("ZeRO", done.stdout)
        self.assertIn('the model does not fit cluster "tight"', done.stderr)
        self.assertIn("fix: ", done.stderr)
        as_json = json.loads(self.workspace.millrace("plan", "--cluster=tight.textproto", "--format=json").stdout)
        self.assertFalse(as_json["training"]["pretrain"]["fits"])
        self.assertTrue(as_json["errors"])
        self.assertEqual(self.workspace.millrace("run", "--cluster=tight.textproto").returncode, 2)

    def test_an_unknown_flag_is_refused(self):
        self.assertEqual(self.workspace.millrace("run", "--jbos=2").returncode, 2)


if __name__ == "__main__":
    unittest.main()
