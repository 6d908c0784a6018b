"""Loading studies, and running one from its configuration to its saved files."""

import dataclasses
import json
import os
import shutil
from pathlib import Path

import jax
import pytest
import xarray as xr

from bayescmp.catalogue import find_study, list_studies, read_question, unknown_name
from bayescmp.provenance import find_git_revision, package_versions
from bayescmp.results.tree import read_attribute, validate_tree
from bayescmp.results.tree_file import load_tree
from bayescmp.running import make_record, run_study, study_key
from bayescmp.study import Study, load_study
from bayescmp.workspace import Workspace

FAKE_STUDY = Path(__file__).with_name("fake_study.py")


@pytest.fixture
def study_path(tmp_path: Path) -> Path:
    folder = tmp_path / "mine"
    folder.mkdir()
    return Path(shutil.copy(FAKE_STUDY, folder / "my_study.py"))


@pytest.fixture
def study(study_path: Path) -> Study:
    return load_study(study_path)


def run(study: Study, workspace: Workspace | None, preset: str = "quick") -> xr.DataTree:
    config = study.configure(preset)
    return run_study(study, config=config, key=study_key(config), workspace=workspace)


def calls(study: Study) -> int:
    path = study.source.with_name("calls")
    return len(path.read_text().splitlines()) if path.exists() else 0


# ------------------------------------------------------------------- loading


def test_a_study_is_loaded_by_its_path(study: Study, study_path: Path):
    assert study.name == "my_study"
    assert study.question == "Does a study that trains nothing reach its made-up numbers?"
    assert study.source == study_path
    assert study.configure("quick").seeds == 2
    assert study.configure().seeds == 5
    assert study.configure("quick", seeds=7).seeds == 7
    assert study.preset_of(study.configure("quick", seeds=7)) == "quick"
    other = dataclasses.replace(study.configure("quick"), length=9)  # pyright: ignore
    assert study.preset_of(other) == "custom"


def test_a_study_may_import_what_lies_beside_it(tmp_path: Path):
    (tmp_path / "beside_the_study.py").write_text("SEEDS = 3\n")
    text = FAKE_STUDY.read_text().replace("import time", "import time\nimport beside_the_study")
    path = tmp_path / "importing_study.py"
    path.write_text(text.replace("seeds=2", "seeds=beside_the_study.SEEDS"))
    assert load_study(path).configure("quick").seeds == 3


def test_every_study_in_the_package_loads_and_asks_a_question():
    for name, question in list_studies().items():
        study = load_study(name)
        assert (study.name, study.question) == (name, question)
        assert question
        assert {"quick", "default", "paper"} <= study.presets.keys()
        assert all(study.configure(preset).seeds >= 1 for preset in study.presets)


def test_the_question_is_read_without_running_the_file(tmp_path: Path):
    path = tmp_path / "study.py"
    path.write_text('"""Is it so?\n\nYes."""\nraise SystemExit(3)\n')
    assert read_question(path) == "Is it so?"
    path.write_text("def broken(:")
    assert read_question(path) == ""


@pytest.mark.parametrize(
    ("preset", "seeds", "message"),
    [
        ("quikc", None, "preset: expected one of default, quick, got 'quikc'; .* 'quick'"),
        ("quick", 0, "seeds: expected at least 1, got 0"),
        ("quick", -3, "seeds: expected at least 1, got -3"),
    ],
)
def test_a_wrong_preset_or_number_of_seeds_is_refused(
    study: Study, preset: str, seeds: int | None, message: str
):
    with pytest.raises(ValueError, match=message):
        study.configure(preset, seeds=seeds)


def test_an_unknown_name_gives_the_nearest():
    error = unknown_name("study", "Bijektion", ["hmm_filtering", "bijection"])
    assert str(error) == (
        "study: expected one of bijection, hmm_filtering, got 'Bijektion'; "
        "did you mean 'bijection'?"
    )
    assert "did you mean" not in str(unknown_name("study", "xyz", ["bijection"]))
    with pytest.raises(ValueError, match=r"study: expected .* or the path of a \.py file"):
        find_study("no_such_study")


def test_a_path_that_leads_nowhere_is_told(study_path: Path):
    with pytest.raises(ValueError, match=r"expected an existing file.*did you mean .*my_study\.py"):
        find_study(str(study_path.with_name("my_studdy.py")))
    with pytest.raises(ValueError, match="got the folder"):
        find_study(str(study_path.parent))
    with pytest.raises(ValueError, match=r"path of a \.py file"):
        find_study(str(study_path.with_suffix(".toml")))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("def broken(:", "does not import: SyntaxError: .*line 1"),
        ("x = 1\nimport no_such_module\n", r"does not import: ModuleNotFoundError: .*\(line 2\)"),
        ("import sys\nsys.exit(0)\n", r"does not import: SystemExit: 0 \(line 2\)"),
        ("", "missing Config and PRESETS and CLAIMS and run"),
        ("Config = 1\nCLAIMS = ()\ndef run(): pass\n", "missing PRESETS"),
    ],
)
def test_a_file_that_is_no_study_is_refused(tmp_path: Path, text: str, message: str):
    path = tmp_path / "broken_study.py"
    path.write_text(text)
    with pytest.raises(ValueError, match=message) as refusal:
        load_study(path)
    assert str(path) in str(refusal.value)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("@dataclass(frozen=True)\n", "", "Config: expected a dataclass"),
        ("    seeds: int\n", "    networks: int = 1\n", "Config: expected a field named seeds"),
        ('{"quick": Config(seeds=2), "default"', '{"quick": 3, "default"', "expected a Config"),
        ("PRESETS = {", "PRESETS = {} and {", "PRESETS: expected configurations by name"),
        ("CLAIMS = (", "CLAIMS = ('KL is small',", r"CLAIMS\[0\]: expected a bayescmp.Claim"),
        ("CLAIMS = (", "CLAIMS = 3\n_ = (", "CLAIMS: expected a tuple"),
        (", *, key: Key, workspace: Workspace", "", r"run: expected a function run\(config"),
        ("def run(", "run = 3\ndef walk(", "run: expected a function"),
    ],
)
def test_a_part_of_the_wrong_kind_is_named(study_path: Path, old: str, new: str, message: str):
    text = study_path.read_text()
    assert old in text
    text = text.replace(old, new, 1)
    if "networks" in new or "@dataclass" in old:
        text = text.replace("Config(seeds=2)", "Config()").replace("Config(seeds=5)", "Config()")
    study_path.write_text(text)
    with pytest.raises(ValueError, match=message):
        load_study(study_path)


# ------------------------------------------------------------------- running


def test_a_run_is_judged_validated_and_saved(study: Study, tmp_path: Path):
    workspace = Workspace(tmp_path / "out")
    tree = run(study, workspace, "default")
    validate_tree(tree)
    assert tree["claims/verdict"].to_numpy().tolist() == ["supported", "refuted"]
    assert tree.attrs["study"] == "my_study"
    assert tree.attrs["preset"] == "default"
    assert tree.attrs["wall_time_s"] > 0
    assert read_attribute(tree, "/", "config") == {
        "seeds": 5,
        "length": 5,
        "rungs": ["uniform", "window 1"],
    }
    assert read_attribute(tree, "/", "versions")["jax"] == jax.__version__
    assert workspace.results_path is not None
    xr.testing.assert_identical(load_tree(workspace.results_path), tree)
    claims = json.loads((tmp_path / "out" / "claims.json").read_text())["claims"]
    assert [claim["verdict"] for claim in claims] == ["supported", "refuted"]
    assert "<html" in (tmp_path / "out" / "report.html").read_text()
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        ".lock",
        "checkpoints",
        "claims.json",
        "config.json",
        "report.html",
        "results.nc",
    }


def test_some_of_the_seeds_keep_their_numbers(study: Study, tmp_path: Path):
    config = study.configure("default")
    workspace = Workspace(tmp_path / "out", seeds=(1, 3))
    tree = run_study(study, config=config, key=study_key(config), workspace=workspace, pages=False)
    assert tree["divergence/mean_kl"]["seed"].to_numpy().tolist() == [1, 3]
    assert read_attribute(tree, "/", "seeds") == [1, 3]
    assert not (tmp_path / "out" / "report.html").exists()
    record = make_record(study, config, study_key(config), (1, 3))
    assert (record.seeds, record.seed_indices) == (2, (1, 3))
    more = dataclasses.replace(config, seeds=9)
    assert make_record(study, more, study_key(more), (1, 3)) == dataclasses.replace(
        record, preset=study.preset_of(more)
    )
    deaf = dataclasses.replace(
        study,
        run=lambda config, *, key, workspace: study.run(config, key=key, workspace=Workspace()),
    )
    with pytest.raises(ValueError, match=r"expected 1 seed.* got 5 in /network"):
        run_study(deaf, config=config, key=study_key(config), workspace=Workspace(seeds=(1,)))


def test_a_run_without_a_folder_writes_nothing(
    study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    tree = run(study, None)
    assert tree["claims/verdict"].to_numpy().tolist() == ["inconclusive", "inconclusive"]
    assert not os.listdir()


@pytest.mark.parametrize("resume", [False, True])
def test_a_complete_run_is_loaded_and_its_missing_files_are_rebuilt(
    study: Study, tmp_path: Path, resume: bool
):
    first = run(study, Workspace(tmp_path / "out"))
    results = (tmp_path / "out" / "results.nc").read_bytes()
    (tmp_path / "out" / "report.html").unlink()
    (tmp_path / "out" / "claims.json").unlink()
    second = run(study, Workspace(tmp_path / "out", resume=resume))
    assert calls(study) == 1
    xr.testing.assert_identical(first, second)
    assert (tmp_path / "out" / "results.nc").read_bytes() == results
    assert (tmp_path / "out" / "report.html").exists()
    assert (tmp_path / "out" / "claims.json").exists()


def test_an_interrupted_run_goes_on_with_resume_only(study: Study, tmp_path: Path):
    trouble = study.source.with_name("interrupt")
    trouble.touch()
    with pytest.raises(KeyboardInterrupt):
        run(study, Workspace(tmp_path / "out"))
    trouble.unlink()
    with pytest.raises(ValueError, match="--resume"):
        run(study, Workspace(tmp_path / "out"))
    run(study, Workspace(tmp_path / "out", resume=True))
    assert calls(study) == 2
    assert (tmp_path / "out" / "results.nc").exists()


def test_another_configuration_or_key_is_another_run(study: Study, tmp_path: Path):
    run(study, Workspace(tmp_path / "out"))
    with pytest.raises(ValueError, match="seeds is 2 there, 5 here"):
        run(study, Workspace(tmp_path / "out", resume=True), "default")
    with pytest.raises(ValueError, match="key is "):
        run_study(
            study,
            config=study.configure("quick"),
            key=jax.random.key(1),
            workspace=Workspace(tmp_path / "out"),
        )
    assert calls(study) == 1


def test_a_corrupt_result_is_told_and_kept(study: Study, tmp_path: Path):
    run(study, Workspace(tmp_path / "out"))
    path = tmp_path / "out" / "results.nc"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(ValueError, match=r"results\.nc"):
        run(study, Workspace(tmp_path / "out", resume=True))
    assert len(path.read_bytes()) == 100
    assert calls(study) == 1


def test_what_is_no_comparison_is_not_saved(study: Study, tmp_path: Path):
    nothing = dataclasses.replace(study, run=lambda config, *, key, workspace: None)
    with pytest.raises(TypeError, match=r"run of study my_study: expected an xarray\.DataTree"):
        run(nothing, Workspace(tmp_path / "out"))
    empty = dataclasses.replace(
        study, run=lambda config, *, key, workspace: xr.DataTree(), claims=()
    )
    with pytest.raises(ValueError, match="missing group"):
        run(empty, Workspace(tmp_path / "out"))
    assert not (tmp_path / "out" / "results.nc").exists()


def test_a_configuration_that_json_cannot_hold_is_refused(study: Study):
    config = dataclasses.replace(study.configure("quick"), length=object())  # pyright: ignore
    with pytest.raises(ValueError, match=r"expected fields that JSON can hold, got length="):
        make_record(study, config, jax.random.key(0))


def test_the_key_comes_from_the_configuration(study: Study):
    @dataclasses.dataclass(frozen=True)
    class Config:
        seeds: int = 1
        key_seed: int = 7

    data = jax.random.key_data
    assert (data(study_key(Config())) == data(jax.random.key(7))).all()
    assert (data(study_key(study.configure("quick"))) == data(jax.random.key(0))).all()


# ---------------------------------------------------------------- provenance


def test_versions_and_revision_are_found_or_unknown(tmp_path: Path):
    assert {"python", "jax", "numpy"} <= package_versions().keys()
    source = tmp_path / "study.py"
    source.write_text("")
    assert find_git_revision(source) == "unknown"
