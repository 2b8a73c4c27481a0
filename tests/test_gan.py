from pathlib import Path
from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_dcgan import gan as gan_module
from keras_dcgan.datasets.classes import Classes
from keras_dcgan.gan import DCGAN
from keras_dcgan.networks import build_discriminator, build_generator, float32_copy, with_labels
from keras_dcgan.optimizers import Adam

# Numbers measured from the MXNet tutorial's own program (MXNet 1.9.1): width 4, batch 4, three steps.
GOLDEN = np.load(Path(__file__).parent / "data" / "golden_w4.npz", allow_pickle=False)


def adam() -> Adam:
    return Adam(2e-4, 0.5, 0.999, 1e-8)


def small_gan(upsampling: str = "transposed", **options) -> DCGAN:
    keras.utils.set_random_seed(1)
    gan = DCGAN(build_generator(2, 16, 1, 5, upsampling=upsampling), build_discriminator(2, 16, 1), seed=1)
    gan.compile(adam(), adam(), **options)
    return gan


def reals(count: int = 4) -> tf.Tensor:
    return tf.constant(np.random.default_rng(0).uniform(-1, 1, (count, 16, 16, 1)).astype("float32"))


def latents(count: int = 4) -> tf.Tensor:
    return tf.constant(np.random.default_rng(1).standard_normal((count, 5), np.float32))


def weights(gan: DCGAN) -> list[np.ndarray]:
    return [variable.numpy() for variable in gan.generator.variables + gan.discriminator.variables]


def golden_variables(gan: DCGAN):
    """Each variable, its name in the golden file, and the transposition from MXNet's order to Keras's."""
    for network, letter in ((gan.generator, "G"), (gan.discriminator, "D")):
        for layer in network.layers:
            if hasattr(layer, "kernel"):
                yield layer.kernel, f"{letter}/{layer.name}_weight", (2, 3, 1, 0)  # of either network
            if hasattr(layer, "moving_mean"):
                yield layer.beta, f"{letter}/{layer.name}_beta", (0,)
                yield layer.moving_mean, f"{letter}/{layer.name}_moving_mean", (0,)
                yield layer.moving_variance, f"{letter}/{layer.name}_moving_var", (0,)


@pytest.mark.parametrize("jit_compile", [False, True])
def test_three_steps_agree_with_the_mxnet_tutorials_program(jit_compile, monkeypatch):
    gan = DCGAN(build_generator(4), build_discriminator(4))
    gan.compile(adam(), adam())
    for variable, name, order in golden_variables(gan):
        variable.assign(GOLDEN[f"init/{name}"].transpose(order))
    seen = []  # the discriminator's logits of its three passes: fakes, reals, fakes again
    cross_entropy = gan_module.cross_entropy
    monkeypatch.setattr(gan_module, "cross_entropy", lambda y, x: seen.append(x) or cross_entropy(y, x))

    @tf.function(jit_compile=jit_compile)
    def step(images, latents):
        seen.clear()
        gan.adversarial_step(images, latents)
        return [tf.sigmoid(logits) for logits in seen]

    for t in range(3):
        images = np.repeat(GOLDEN["real"][t].transpose(0, 2, 3, 1), 3, axis=-1)
        outputs = step(tf.constant(images), tf.constant(GOLDEN["z"][t][:, :, 0, 0]))
        for output, name in zip(outputs, ("p_fake", "p_real", "p_gen"), strict=True):
            np.testing.assert_allclose(
                output.numpy().ravel(), GOLDEN[f"trace/{name}"][t].ravel(), rtol=0, atol=1e-5, err_msg=f"{name} {t}"
            )
    for variable, name, order in golden_variables(gan):
        tolerance = 1e-6 if "moving" in name else 1e-5
        expected = GOLDEN[f"final/{name}"].transpose(order)
        np.testing.assert_allclose(variable.numpy(), expected, rtol=0, atol=tolerance, err_msg=name)


def test_one_step_changes_both_networks_and_reports_its_losses():
    gan = small_gan()
    before = weights(gan)
    logs = gan.adversarial_step(reals(), latents())
    assert set(logs) == {"d_loss", "g_loss", "d_real", "d_fake"}
    assert all(np.any(a != b) for a, b in zip(before, weights(gan), strict=True))


def test_the_generators_update_computes_no_weight_gradients_of_the_discriminator():
    gan = DCGAN(build_generator(4), build_discriminator(4))
    gan.compile(adam(), adam())
    step = tf.function(gan.adversarial_step).get_concrete_function(
        tf.TensorSpec((4, 64, 64, 3)), tf.TensorSpec((4, 100))
    )
    needed, queue = set(), [*step.graph.control_outputs, *(output.op for output in step.outputs)]
    while queue:  # what TensorFlow executes: all that an output or a variable's update depends on
        operation = queue.pop()
        if operation not in needed:
            needed.add(operation)
            queue += [*operation.control_inputs, *(tensor.op for tensor in operation.inputs)]
    kinds = [operation.type for operation in needed]
    # Four convolutions a network: weight gradients for the fakes, for the reals, and of the generator.
    assert kinds.count("Conv2DBackpropFilter") == 3 * 4
    # The generator forward, and the discriminator's three passes, each but for the layer beside the image.
    assert kinds.count("Conv2DBackpropInput") == 4 * 3
    # The layers of one pixel. The generator's: forward, and its weights. The discriminator's: three passes forward and
    # back, and its weights for the fakes and for the reals.
    assert kinds.count("MatMul") == 2 + 3 * 2 + 2


def test_metrics_list_every_value_and_are_reset_each_epoch():
    gan = small_gan(r1_weight=0.5)
    history = gan.fit(tf.data.Dataset.from_tensors(reals()).repeat(), steps_per_epoch=3, epochs=2, verbose=0)
    assert [metric.name for metric in gan.metrics] == ["d_loss", "g_loss", "d_real", "d_fake", "r1"]
    assert set(history.history) == {metric.name for metric in gan.metrics}
    assert float(gan.metrics[0].count) == 3


def test_both_optimizers_are_built_before_the_first_step():
    gan = small_gan()
    assert gan.generator_optimizer.built and gan.discriminator_optimizer.built
    assert len(gan.discriminator_optimizer.variables) >= 2 * len(gan.discriminator.trainable_variables)


def test_call_draws():
    gan = small_gan()
    images = gan(latents(3))
    assert images.shape == (3, 16, 16, 1)
    np.testing.assert_array_equal(images, gan.generator(latents(3), training=False))


@pytest.mark.parametrize("options", [{"jit_compile": True}, {"steps_per_execution": 2}, {"run_eagerly": True}])
def test_plain_fit_trains_the_same_in_every_mode(options):
    plain, other = small_gan(jit_compile=False), small_gan(**options)
    for gan in (plain, other):
        gan.fit(tf.data.Dataset.from_tensors(reals()).repeat(), steps_per_epoch=4, verbose=0)
    tolerance = 1e-2 if "jit_compile" in options else 1e-6  # XLA rounds differently, and Adam magnifies that
    for a, b in zip(plain.metrics, other.metrics, strict=True):
        assert float(a.result()) == pytest.approx(float(b.result()), abs=tolerance)
    if "jit_compile" not in options:
        for a, b in zip(weights(plain), weights(other), strict=True):
            np.testing.assert_allclose(a, b, atol=1e-6)


def test_fit_traces_the_step_once():
    traces = []

    class Counted(DCGAN):
        def adversarial_step(self, images, *rest):
            traces.append(images.shape)
            return super().adversarial_step(images, *rest)

    gan = Counted(build_generator(2, 16, 1, 5), build_discriminator(2, 16, 1))
    gan.compile(adam(), adam())
    gan.fit(tf.data.Dataset.from_tensors(reals()).repeat(), steps_per_epoch=3, epochs=3, verbose=0)
    assert len(traces) == 1


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision_keeps_weights_losses_and_images_in_float32(policy):
    keras.config.set_dtype_policy(policy)
    try:
        generator, discriminator = build_generator(2, 16, 1, 5), build_discriminator(2, 16, 1)
    finally:
        keras.config.set_dtype_policy("float32")
    scaled = keras.optimizers.LossScaleOptimizer if policy == "mixed_float16" else lambda optimizer: optimizer
    gan = DCGAN(generator, discriminator)
    gan.compile(scaled(adam()), scaled(adam()), r1_weight=1.0)
    before = weights(gan)
    gan.fit(tf.data.Dataset.from_tensors(reals()).repeat(), steps_per_epoch=3, verbose=0)
    assert gan.generator.compute_dtype == policy.removeprefix("mixed_")
    assert all(variable.dtype == "float32" for variable in gan.generator.variables + gan.discriminator.variables)
    assert gan(latents()).dtype == tf.float32
    assert all(np.isfinite(after).all() for after in weights(gan))
    assert any(np.any(a != b) for a, b in zip(before, weights(gan), strict=True))


def test_r1_is_half_the_squared_gradient_at_the_reals():
    # A linear discriminator has the same gradient everywhere: its weights.
    images = keras.Input((16, 16, 1))
    linear = keras.Model(images, keras.layers.Dense(1)(keras.layers.Flatten()(images)))
    gan = DCGAN(build_generator(2, 16, 1, 5), linear)
    gan.compile(adam(), adam(), r1_weight=3.0)
    kernel = linear.layers[-1].kernel.numpy()
    logs = gan.adversarial_step(reals(), latents())
    np.testing.assert_allclose(logs["r1"], 0.5 * np.sum(kernel**2), rtol=1e-5)


def test_r1_reduces_the_discriminators_slope():
    images = keras.Input((16, 16, 1))
    slopes = []
    for weight in (0.0, 100.0):
        keras.utils.set_random_seed(0)
        linear = keras.Model(images, keras.layers.Dense(1)(keras.layers.Flatten()(images)))
        gan = DCGAN(build_generator(2, 16, 1, 5), linear)
        gan.compile(adam(), keras.optimizers.SGD(1e-3), r1_weight=weight)
        for _ in range(20):
            gan.adversarial_step(reals(), latents())
        slopes.append(float(np.linalg.norm(linear.layers[-1].kernel.numpy())))
    assert slopes[1] < 0.5 * slopes[0]


def test_a_penalty_every_kth_step_is_k_times_as_strong():
    images = keras.Input((16, 16, 1))
    kernels = {}
    for every in (1, 2):
        keras.utils.set_random_seed(0)
        linear = keras.Model(images, keras.layers.Dense(1)(keras.layers.Flatten()(images)))
        gan = DCGAN(build_generator(2, 16, 1, 5), linear)
        gan.compile(adam(), keras.optimizers.SGD(1e-3), r1_weight=5.0, r1_every=every)
        plain = keras.models.clone_model(linear)
        plain.set_weights(linear.get_weights())
        start = linear.layers[-1].kernel.numpy()
        gan.steps_done.assign(1)
        gan.adversarial_step(reals(), latents())  # with r1_every=2 this one has no penalty
        first = linear.layers[-1].kernel.numpy()
        linear.set_weights(plain.get_weights())
        gan.steps_done.assign(2)
        gan.adversarial_step(reals(), latents())
        kernels[every] = (first - start, linear.layers[-1].kernel.numpy() - start, start)
    # The two steps differ by the penalty's gradient alone, which for a linear discriminator is weight * kernel.
    penalty = 1e-3 * 5.0 * kernels[1][2]
    np.testing.assert_allclose(kernels[2][0] - kernels[1][0], penalty, rtol=0.02, atol=2e-6)
    np.testing.assert_allclose(kernels[2][1] - kernels[1][1], -penalty, rtol=0.02, atol=2e-6)


@pytest.mark.parametrize("upsampling", ["transposed", "nearest"])
def test_the_moving_average_follows_the_generator_with_its_half_life(upsampling):
    gan = small_gan(upsampling, ema_half_life=8.0)
    gan.steps_done.assign(10**6)  # long past the ramp
    before = [variable.numpy() for variable in gan.averaged.trainable_variables]
    gan.train_step(reals())  # four images: half a half-life
    now = float32_copy(gan.generator).trainable_variables
    for old, average, weight in zip(before, gan.averaged.trainable_variables, now, strict=True):
        np.testing.assert_allclose(average.numpy(), old + (1 - 0.5**0.5) * (weight.numpy() - old), atol=1e-6)


def test_without_a_moving_average_the_generator_itself_draws():
    gan = small_gan()
    assert gan.averaged is gan.generator


def test_recomputed_statistics_match_the_averaged_generators_activations():
    gan = small_gan(ema_half_life=100.0)
    gan.fit(tf.data.Dataset.from_tensors(reals()).repeat(), steps_per_epoch=5, shuffle=False, verbose=0)
    gan.refresh_averaged(batches=3, batch_size=50)
    batches = [keras.random.normal((50, 5), seed=i) for i in range(3)]
    first = keras.Model(gan.averaged.input, gan.averaged.get_layer("g1").output)
    activations = [first(batch).numpy() for batch in batches]
    layer = gan.averaged.get_layer("gbn1")
    np.testing.assert_allclose(layer.moving_mean, np.mean([a.mean((0, 1, 2)) for a in activations], 0), atol=1e-6)
    np.testing.assert_allclose(layer.moving_variance, np.mean([a.var((0, 1, 2)) for a in activations], 0), atol=1e-6)
    assert layer.momentum == 0.9
    once = [variable.numpy() for variable in gan.averaged.variables]
    gan.steps_done.assign_add(1)
    gan.refresh_averaged(batches=3, batch_size=50)
    for a, b in zip(once, gan.averaged.variables, strict=True):
        np.testing.assert_array_equal(a, b.numpy())


def test_statistics_are_recomputed_once_after_a_change(monkeypatch):
    gan, computed = small_gan(ema_half_life=100.0), []
    compute = gan_module.set_statistics
    monkeypatch.setattr(gan_module, "set_statistics", lambda *given: computed.append(1) or compute(*given))
    for change, batches in ((lambda: None, 4), (lambda: None, 0), (lambda: gan.train_step(reals()), 4)):
        change()
        gan.refresh_averaged()
        assert len(computed) == batches
        computed.clear()


def test_statistics_are_those_of_loaded_weights(tmp_path):
    first, second = (small_gan(ema_half_life=100.0) for _ in range(2))
    first.averaged.set_weights([value + 0.1 for value in first.averaged.get_weights()])
    first.save_weights(tmp_path / "a.weights.h5")
    second.refresh_averaged()
    second.load_weights(tmp_path / "a.weights.h5")
    for gan in (first, second):
        gan.refresh_averaged()
    for one, other in zip(first.averaged.variables, second.averaged.variables, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_second_compile_makes_a_new_average():
    gan = small_gan(ema_half_life=100.0)
    gan.refresh_averaged()
    gan.compile(adam(), adam(), ema_half_life=50.0)
    assert [weight.path for weight in gan.weights].count("dcgan/r1") == 1
    before = gan.averaged.get_layer("gbn1").moving_mean.numpy()
    gan.refresh_averaged()
    assert np.any(gan.averaged.get_layer("gbn1").moving_mean.numpy() != before)


def test_latents_are_a_function_of_seed_and_step(monkeypatch):
    def drawn(seed: int, step: int) -> np.ndarray:
        gan = DCGAN(build_generator(2, 16, 1, 5), build_discriminator(2, 16, 1), seed=seed)
        gan.compile(adam(), adam())
        gan.steps_done.assign(step)
        seen = []
        step_ = gan.adversarial_step
        monkeypatch.setattr(
            gan, "adversarial_step", lambda images, z, labels: seen.append(z.numpy()) or step_(images, z)
        )
        gan.train_step(reals(50))
        return seen[0]

    first = drawn(1, 7)
    np.testing.assert_array_equal(first, drawn(1, 7))
    assert abs(first.mean()) < 0.3 and abs(first.std() - 1) < 0.2
    assert np.any(first != drawn(1, 8)) and np.any(first != drawn(2, 7))


def test_replicas_draw_parts_of_what_one_device_draws(monkeypatch):
    gan = small_gan()
    whole = gan.draw_step_latents(6), gan.draw_step_changes(6)
    parts = []
    for replica in range(2):
        context = SimpleNamespace(num_replicas_in_sync=2, replica_id_in_sync_group=replica)
        monkeypatch.setattr(tf.distribute, "get_replica_context", lambda context=context: context)
        parts.append((gan.draw_step_latents(3), gan.draw_step_changes(3)))
    for drawn, *of_replicas in zip(whole, *parts, strict=True):
        np.testing.assert_array_equal(np.concatenate(of_replicas), drawn)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"augment": "colour"}, "augment=colour: must be one of off, translation"),
        ({"augment": "auto"}, "augment=auto"),
        ({"r1_weight": -1.0}, "r1_weight=-1.0, r1_every=1, ema_half_life=0.0: must be at least 0, 1 and 0"),
        ({"r1_every": 0}, "r1_every=0"),
        ({"ema_half_life": float("nan")}, "ema_half_life=nan"),
    ],
)
def test_compile_refuses_what_is_no_recipe(options, message):
    with pytest.raises(ValueError, match=message):
        small_gan(**options)


def test_two_networks_need_two_optimizers():
    one = adam()
    with pytest.raises(ValueError, match="the same object; make two"):
        small_gan().compile(one, one)


def test_what_a_gan_cannot_do_says_what_to_do_instead(tmp_path):
    gan = small_gan()
    with pytest.raises(NotImplementedError, match="save a DCGAN with save_weights"):
        gan.save(tmp_path / "gan.keras")
    with pytest.raises(NotImplementedError, match="no validation loss"):
        gan.evaluate(reals(), verbose=0)
    with pytest.raises(ValueError, match="no sample_weight"):
        conditional_gan().fit(reals(), LABELS, sample_weight=np.ones(4), verbose=0)


def test_a_model_draws_before_it_is_compiled_and_loads_weights_after_it(tmp_path):
    trained = small_gan(ema_half_life=100.0)
    trained.train_step(reals())
    trained.save_weights(tmp_path / "gan.weights.h5")
    fresh = DCGAN(build_generator(2, 16, 1, 5), build_discriminator(2, 16, 1))
    assert fresh(latents()).shape == fresh.predict(latents(), verbose=0).shape == (4, 16, 16, 1)
    with pytest.raises(ValueError, match="compile this DCGAN first, with the ema_half_life"):
        fresh.load_weights(tmp_path / "gan.weights.h5")
    fresh.compile(adam(), adam(), ema_half_life=100.0)
    fresh.load_weights(tmp_path / "gan.weights.h5")
    for ours, theirs in zip(fresh.variables, trained.variables, strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("upsampling", ["transposed", "nearest"])
def test_a_frozen_layer_stays_as_it_is_in_the_average_and_in_copies(upsampling):
    gan = small_gan(upsampling)
    for name in ("g2", "gbn2"):
        gan.generator.get_layer(name).trainable = False
    gan.compile(adam(), adam(), ema_half_life=100.0)
    before = [variable.numpy() for name in ("g2", "gbn2") for variable in gan.generator.get_layer(name).variables]
    gan.train_step(reals())
    after = [variable.numpy() for name in ("g2", "gbn2") for variable in gan.generator.get_layer(name).variables]
    for a, b in zip(before, after, strict=True):
        np.testing.assert_array_equal(a, b)
    frozen, moved = (gan.averaged.get_layer(name).kernel.numpy() for name in ("g2", "g1"))
    copy = float32_copy(gan.generator)
    np.testing.assert_array_equal(frozen, copy.get_layer("g2").kernel)
    assert np.any(moved != gan.generator.get_layer("g1").kernel)
    np.testing.assert_allclose(copy(latents()), gan.generator(latents()), atol=1e-6)


LABELS = np.array([2, 0, 1, 2], np.int32)


def test_labels_belong_to_networks_with_classes():
    with pytest.raises(ValueError, match="labels are given, but these networks have no classes"):
        small_gan().fit(reals(), LABELS, verbose=0)
    with pytest.raises(ValueError, match="no labels are given, but these networks have classes"):
        conditional_gan().fit(reals(), verbose=0)
    with pytest.raises(ValueError, match=r"labels: shape \(4, 1\); must be \[B\]"):
        conditional_gan().adversarial_step(reals(), latents(), LABELS[:, np.newaxis])


def conditional_gan(**options) -> DCGAN:
    keras.utils.set_random_seed(1)
    classes = Classes(("a", "b", "c"), (1, 1, 2))
    gan = DCGAN(build_generator(2, 16, 1, 5, classes=3), build_discriminator(2, 16, 1, classes=3), 1, classes)
    gan.compile(adam(), adam(), **options)
    return gan


def test_a_label_picks_its_logit():
    gan = conditional_gan()
    logits = gan.discriminator(reals(), training=True).numpy()
    picked = gan.score(reals(), tf.constant(LABELS))
    assert picked.shape == (4, 1)
    np.testing.assert_allclose(picked[:, 0], logits[np.arange(4), LABELS], rtol=1e-5)


@pytest.mark.parametrize("logits, names", [(0, "abc"), (5, "abc"), (3, "ab")])
def test_networks_of_different_classes_are_refused(logits, names):
    networks = build_generator(2, 16, 1, 5, classes=3), build_discriminator(2, 16, 1, classes=logits)
    with pytest.raises(ValueError, match=r"draws 3 classes, the discriminator has .* logits, and . classes are named"):
        DCGAN(*networks, classes=Classes(tuple(names), (1,) * len(names)))


def test_classes_without_a_generator_that_draws_them_are_refused():
    for logits, classes in ((0, Classes(("a", "b"), (1, 1))), (3, None)):
        with pytest.raises(ValueError, match=r"draws 0 classes, .* without classes there is one logit"):
            DCGAN(build_generator(2, 16, 1, 5), build_discriminator(2, 16, 1, classes=logits), classes=classes)


def test_a_step_learns_only_the_logits_of_its_labels():
    gan = conditional_gan()
    last = gan.discriminator.layers[-2].kernel  # [4, 4, C, K]: a filter for each class
    before = last.numpy()
    gan.adversarial_step(reals(), latents(), tf.constant([0, 0, 2, 2]))
    changed = np.any(last.numpy() != before, axis=(0, 1, 2))
    assert changed.tolist() == [True, False, True]


def test_the_labels_of_fakes_are_the_batchs_in_an_order_of_seed_and_step():
    gan = conditional_gan()
    labels = tf.range(64)
    first = gan.shuffle_step_labels(labels).numpy()
    assert sorted(first) == list(range(64)) and (first != np.arange(64)).any()
    np.testing.assert_array_equal(first, gan.shuffle_step_labels(labels))
    gan.steps_done.assign(1)
    assert (gan.shuffle_step_labels(labels).numpy() != first).any()
    compiled = tf.function(gan.shuffle_step_labels, jit_compile=True)
    np.testing.assert_array_equal(compiled(labels), gan.shuffle_step_labels(labels))


@pytest.mark.parametrize("options", [{"jit_compile": True}, {"steps_per_execution": 2}, {"run_eagerly": True}])
def test_fit_on_images_and_labels_trains_the_same_in_every_mode(options):
    recipe = {"ema_half_life": 50.0} if "run_eagerly" in options else {"r1_weight": 1.0, "r1_every": 2}
    plain, other = conditional_gan(jit_compile=False, **recipe), conditional_gan(**options, **recipe)
    for gan in (plain, other):
        data = tf.data.Dataset.from_tensors((reals(), LABELS)).repeat()
        gan.fit(data, steps_per_epoch=4, shuffle=False, verbose=0)
    tolerance = 1e-2 if "jit_compile" in options else 1e-6  # XLA rounds differently, and Adam magnifies that
    for a, b in zip(plain.metrics, other.metrics, strict=True):
        assert float(a.result()) == pytest.approx(float(b.result()), abs=tolerance)


def test_call_draws_what_is_asked_for():
    gan = conditional_gan(ema_half_life=50.0)
    for weight in gan.averaged.trainable_weights:
        weight.assign(weight * 100)  # an untrained generator draws grey whatever the label is
    same = np.repeat(latents(1), 3, axis=0)
    images = gan(same, np.arange(3, dtype=np.int32)).numpy()
    assert images.shape == (3, 16, 16, 1)
    assert np.abs(images[0] - images[1]).max() > 0.01 and np.abs(images[1] - images[2]).max() > 0.01


def test_statistics_are_recomputed_over_the_mix_of_the_classes():
    gan = conditional_gan(ema_half_life=50.0)
    gan.refresh_averaged(batches=2, batch_size=50)
    inputs = [
        with_labels(keras.random.normal((50, 5), seed=i), tf.constant(gan.classes.draw(50, seed=i))) for i in range(2)
    ]
    first = keras.Model(gan.averaged.input, gan.averaged.get_layer("g1").output)
    means = [first(each).numpy().mean((0, 1, 2)) for each in inputs]
    np.testing.assert_allclose(gan.averaged.get_layer("gbn1").moving_mean, np.mean(means, 0), atol=1e-6)


def test_classes_have_numbers_for_names_unless_they_are_named():
    gan = DCGAN(build_generator(2, 16, 1, 5, classes=3), build_discriminator(2, 16, 1, classes=3))
    assert gan.classes == Classes(("0", "1", "2"), (1, 1, 1))
    assert small_gan().classes is None
