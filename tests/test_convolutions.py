import pytest
import tensorflow as tf

from keras_dcgan import convolutions, winograd

BY_CONVOLUTIONS = ["Conv2DBackpropInput", "Conv2D", "Conv2DBackpropFilter"]
BY_WINOGRAD = ["MatMul", "BatchMatMulV2", "BatchMatMulV2", "BatchMatMulV2", "MatMul"]  # first the sums of the kernel
BY_A_DILATED_ONE = ["Conv2DBackpropInput", "Conv2D", "Conv2D"]  # the last one for the gradient of the kernel
BY_PRODUCTS = ["Conv2DBackpropInput", "Conv2D", "MatMul", "MatMul", "MatMul", "MatMul"]
LAPTOP, SERVER = {"avx2"}, {"avx2", "avx512f", "avx512_bf16"}
AMX = {*SERVER, "amx_bf16"}


@pytest.mark.parametrize(
    "processor, dtype, side, depth, computed_by",
    [
        (SERVER, "float32", 8, 256, BY_CONVOLUTIONS),
        (SERVER, "bfloat16", 8, 256, BY_PRODUCTS),
        (LAPTOP, "float32", 8, 256, BY_WINOGRAD),
        (LAPTOP, "float32", 8, 128, BY_A_DILATED_ONE),
        (LAPTOP, "bfloat16", 8, 256, BY_A_DILATED_ONE),
        (AMX, "float32", 8, 256, BY_CONVOLUTIONS),
        (AMX, "bfloat16", 8, 512, BY_WINOGRAD),
        (AMX, "bfloat16", 8, 256, BY_PRODUCTS),
        (AMX, "bfloat16", 64, 64, BY_PRODUCTS),
    ],
)
def test_the_processor_decides_what_computes_a_convolution(monkeypatch, processor, dtype, side, depth, computed_by):
    monkeypatch.setattr(convolutions, "features", lambda: processor)

    @tf.function
    def slopes(x, kernel):
        with tf.GradientTape() as tape:
            tape.watch([x, kernel])
            y = convolutions.convolve_transposed(x, kernel)
        return tape.gradient(y, [x, kernel])

    x, kernel = tf.zeros((2, side // 2, side // 2, 8), dtype), tf.zeros((4, 4, depth, 8), dtype)
    graph = slopes.get_concrete_function(x, kernel).graph
    types = [operation.type for operation in graph.get_operations()]
    assert [each for each in types if "Conv" in each or "MatMul" in each] == computed_by


def test_in_bfloat16_the_kernel_gradient_differs_by_its_rounding():
    x, d_outputs = (tf.random.stateless_normal((16, size, size, 64), seed=(1, size)) for size in (8, 4))
    exact = convolutions.kernel_gradient(x, d_outputs)
    found = convolutions.kernel_gradient(tf.cast(x, tf.bfloat16), tf.cast(d_outputs, tf.bfloat16))
    assert found.dtype == tf.bfloat16
    assert 0 < tf.norm(tf.cast(found, tf.float32) - exact) < 0.005 * tf.norm(exact)


@pytest.mark.parametrize("name, shape", [("convolve", (8, 16, 16, 64)), ("convolve_transposed", (8, 8, 8, 64))])
def test_in_bfloat16_winograds_sums_lose_less_than_a_hundredth(name, shape):
    def run(x, kernel, convolve):
        with tf.GradientTape() as tape:
            tape.watch([x, kernel])
            y = convolve(x, kernel)
        d_y = tf.cast(tf.random.stateless_normal(y.shape, seed=(3, 4)), y.dtype)
        return [y, *tape.gradient(y, [x, kernel], output_gradients=d_y)]

    x, kernel = (tf.random.stateless_normal(each, seed=(1, 2)) for each in (shape, (4, 4, 64, 64)))
    x, kernel = (tf.cast(each, tf.bfloat16) for each in (x, kernel))
    found = run(x, kernel, getattr(winograd, name))
    exact = run(tf.cast(x, tf.float32), tf.cast(kernel, tf.float32), getattr(convolutions, name))
    for one, other in zip(found, exact, strict=True):
        assert one.dtype == tf.bfloat16
        assert 0 < tf.norm(tf.cast(one, tf.float32) - other) < 0.01 * tf.norm(other)
