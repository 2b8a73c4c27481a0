"""What can be known without a GPU of the program that XLA makes of a step: it is inspected, and run on the CPU."""

import re

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_dcgan import layers, pipeline
from keras_dcgan.config import from_preset
from keras_dcgan.datasets.classes import Classes
from keras_dcgan.training import loop

BATCH = 4
RECIPE = {
    "width": 2, "image_size": 32, "batch_size": BATCH, "channels": 1, "labels": "on", "r1_weight": 1.0,
    "augment": "color,translation,cutout", "jit_compile": "on", "precision": "mixed_bfloat16",
    "upsampling": "nearest",
}  # fmt: skip
FORBIDDEN = {
    "a dynamic shape": r"\[[^]]*<=",
    "double precision": r" = (f64|c128)\[\S* (?!constant)",  # a constant is folded
    "an exchange with the host": r" (infeed|outfeed|send|recv|custom-call)\(",
    "a loop": r" while\(",
}


def faults(text: str) -> list[str]:
    """What an XLA program, as HLO text, has that a fast step must not have."""
    return [name for name, pattern in FORBIDDEN.items() if re.search(pattern, text)]


def choices(digits, **options):
    return pipeline.choose_batches(len(digits), BATCH, first_step=0, labels=np.arange(40) % 10, **options)


@pytest.fixture(scope="module")
def step():
    """The step of the preset `full` with all that it can have, compiled as on a GPU: `fit` picks the images in it."""
    images = np.random.default_rng(0).integers(0, 256, (40, 28, 28, 1), np.uint8)
    keras.utils.set_random_seed(0)
    keras.config.set_dtype_policy("mixed_bfloat16")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(layers, "has_cudnn", lambda: True)
        gan = loop.build(from_preset("full", RECIPE), classes=Classes.numbered(10))
        gan.load = pipeline.make_loader(images, 32, 1)
        batches = list(choices(images, mirror=True).take(2))
        compiled = tf.function(gan.train_step, jit_compile=True, reduce_retracing=True)
        text = compiled.experimental_get_compiler_ir(batches[0])(stage="hlo")
    keras.config.set_dtype_policy("float32")
    return gan, compiled, text, batches


def test_the_step_is_one_program_without_host_dynamic_shapes_or_double_precision(step):
    _, _, text, _ = step
    assert faults(text) == []
    assert len(re.findall(r"^ENTRY ", text, re.MULTILINE)) == 1
    assert text.count(" conditional(") == 1  # whether R1 is due
    assert re.search(r"u8\[4,28,28,1\]\S* gather\(u8\[40,28,28,1\]", text)  # the images lie on the device, as bytes


def test_all_convolutions_and_products_of_the_networks_are_in_bfloat16(step):
    _, _, text, _ = step
    pattern = r"= (\w+)\[\S* (?:convolution|dot)\((\w+)\[[^)]*?, (\w+)\[.*?op_type=\"(\w+)\""
    found = re.findall(pattern, text)
    assert len(found) == len(re.findall(r" (?:convolution|dot)\(", text)) > 60
    others = sorted(operation for *dtypes, operation in found if set(dtypes) != {"bf16"})
    # In float32: the colours of the augmentation, forward and back, the kernels of three layers for the average, and
    # resizing.
    assert others == ["BatchMatMulV2"] * 10 + ["MatMul"] * 3 + ["ResizeBilinear"] * 2


def test_two_steps_on_different_images_compile_once(step):
    gan, compiled, _, batches = step
    losses = [{name: float(value) for name, value in compiled(batch).items()} for batch in batches]
    assert compiled.experimental_get_tracing_count() == 1
    assert int(gan.steps_done) == 2
    assert losses[0] != losses[1] and np.isfinite([list(each.values()) for each in losses]).all()


def test_what_a_step_must_not_have_is_found():
    def lower(function, *arguments):
        return tf.function(function, jit_compile=True).experimental_get_compiler_ir(*arguments)(stage="hlo")

    x = tf.ones((4,))
    assert faults(lower(lambda x: x + 1.0, x)) == []
    assert faults(lower(lambda x: tf.where(x > 0), x)) == ["a dynamic shape"]
    assert faults(lower(lambda x: tf.cast(x, tf.float64), x)) == ["double precision"]
    assert faults(lower(lambda x: tf.while_loop(lambda y: tf.reduce_sum(y) < 9, lambda y: [y + 1], [x]), x)) == [
        "a loop"
    ]
    assert faults("%a = f32[4]{0} custom-call(f32[4]{0} %b)") == ["an exchange with the host"]


@pytest.mark.parametrize("compiled", [False, True])
def test_images_that_the_step_picks_are_those_of_the_pipeline(digits, compiled):
    options = {"shuffle": True, "seed": 3, "mirror": True}
    load = pipeline.make_loader(digits, 32, 3)
    load = tf.function(load, jit_compile=True) if compiled else load
    labels = np.arange(40) % 10
    whole = pipeline.make_dataset(digits, BATCH, 32, 3, first_step=0, labels=labels, **options)
    for choice, (images, classes) in zip(choices(digits, **options).take(12), whole, strict=False):  # into epoch 2
        found, found_classes = load(choice)
        np.testing.assert_array_equal(found_classes, classes)
        np.testing.assert_allclose(found, images, rtol=0, atol=4e-7 if compiled else 0)  # XLA rounds differently
