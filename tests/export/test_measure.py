"""What `export.measure` finds in a file: the operators, and which of them XNNPACK runs."""

import numpy as np
import pytest
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter, OpResolverType

from export import build, measure, rng, tflite, verify
from keras_dcgan.networks import build_generator
from keras_dcgan.tools.terminal import quiet
from tests.export.helpers import LATENT_DIM, TFLITE, lively


def counted(path, **options):
    """The operators of a file by signature, and those that a delegate runs, after one call of each signature."""
    interpreter = Interpreter(str(path), **options)
    for key in interpreter.get_signature_list():
        run = interpreter.get_signature_runner(key)
        details = run.get_input_details()
        run(**{name: np.zeros(about["shape"], about["dtype"]) for name, about in details.items()})
    return measure.count_operators(path, interpreter)


@pytest.mark.parametrize("name", TFLITE.values())
def test_xnnpack_runs_all_of_generate_and_the_convolutions_of_sample(exported, name):
    operators, delegated = counted(exported / name)
    assert sorted(operators) == ["generate", "latents", "sample"]
    assert delegated["generate"] == operators["generate"] and operators["generate"]["CONV_2D"] == 2
    assert "BITWISE_XOR" in operators["sample"] and "BITWISE_XOR" not in delegated["sample"]  # XNNPACK has none
    assert delegated["sample"]["CONV_2D"] == operators["sample"]["CONV_2D"] == 2
    assert delegated["sample"]["FULLY_CONNECTED"] == operators["sample"]["FULLY_CONNECTED"] == 1
    assert "CONV_2D" not in operators["latents"] and "BITWISE_XOR" in operators["latents"]


def test_nothing_counts_as_delegated_if_there_is_no_delegate(exported):
    operators, delegated = counted(
        exported / "generator.tflite",
        experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
    )
    assert operators["generate"]["CONV_2D"] == 2
    assert not any(delegated.values())


def test_an_operator_in_the_middle_that_xnnpack_does_not_run_is_seen(tmp_path):
    """Nine operators, of which the integer division in the middle is not XNNPACK's."""

    @tf.function(input_signature=[tf.TensorSpec((1, 8), tf.float32, "x")])
    def generate(x):
        x = tf.nn.relu(tf.tanh(x) * 3.0)
        x = tf.cast(tf.cast(x, tf.int32) // 2, tf.float32)
        return {"y": tf.tanh(tf.nn.relu(x) * 2.0)}

    module = tf.Module()
    module.generate = generate
    with quiet():
        tf.saved_model.save(module, str(tmp_path / "saved"), signatures={"generate": generate})
        converter = tf.lite.TFLiteConverter.from_saved_model(str(tmp_path / "saved"), signature_keys=["generate"])
        (tmp_path / "a.tflite").write_bytes(converter.convert())
    operators, delegated = counted(tmp_path / "a.tflite")
    assert operators["generate"]["FLOOR_DIV"] == 1 and "FLOOR_DIV" not in delegated["generate"]
    assert delegated["generate"]["TANH"] == operators["generate"]["TANH"] == 2
    assert delegated["generate"] != operators["generate"]


def test_a_generator_of_colour_passes(tmp_path):
    generator = lively(build_generator(4, 16, 3, LATENT_DIM))
    latents = rng.draw_latents(0, range(4), LATENT_DIM)
    expected = generator.predict(latents, verbose=0)
    tflite.write_model(tmp_path / "a.tflite", tflite.convert(generator), {})
    found, drawn = measure.measure_tflite(tmp_path / "a.tflite", latents, expected)
    np.testing.assert_allclose(drawn, expected, atol=1e-5)
    assert verify.problems(found, verify.LIMITS["float32"]) == []
    assert "CAST" not in found["operators"]["generate"]


def test_a_batch_of_any_size_would_fail(tmp_path, run_dir):
    """XNNPACK needs fixed shapes: the reason for signatures of batch 1."""
    generator = build.load(run_dir / "generator.keras")
    with quiet():
        generator.export(str(tmp_path / "saved"), verbose=False)
        converter = tf.lite.TFLiteConverter.from_saved_model(str(tmp_path / "saved"))
        (tmp_path / "a.tflite").write_bytes(converter.convert())
    interpreter = Interpreter(str(tmp_path / "a.tflite"))
    (key,) = interpreter.get_signature_list()
    (name,) = interpreter.get_signature_list()[key]["inputs"]
    interpreter.get_signature_runner(key)(**{name: np.zeros((3, LATENT_DIM), np.float32)})
    operators, delegated = measure.count_operators(tmp_path / "a.tflite", interpreter)
    assert operators[key]["TRANSPOSE_CONV"] == 3 and delegated[key].get("TRANSPOSE_CONV", 0) < 3


def test_measuring_nothing_prints_the_usage(command):
    done = command("export.measure")
    assert done.returncode == 1 and done.stderr.startswith("usage: python -m export.measure ")
    assert done.stderr.count("\n") == 1
