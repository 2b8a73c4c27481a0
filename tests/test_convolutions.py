import pytest
import tensorflow as tf

from keras_dcgan import convolutions

BY_CONVOLUTIONS = ["Conv2DBackpropInput", "Conv2D", "Conv2DBackpropFilter"]
BY_WINOGRAD = ["MatMul", "BatchMatMulV2", "BatchMatMulV2", "BatchMatMulV2", "MatMul"]  # first the sums of the kernel
BY_A_DILATED_ONE = ["Conv2DBackpropInput", "Conv2D", "Conv2D"]  # the last one for the gradient of the kernel


@pytest.mark.parametrize(
    "lacks_avx512, dtype, depth, computed_by",
    [
        (False, "float32", 256, BY_CONVOLUTIONS),
        (True, "float32", 256, BY_WINOGRAD),
        (True, "float32", 128, BY_A_DILATED_ONE),
        (True, "bfloat16", 256, BY_A_DILATED_ONE),
    ],
)
def test_the_processor_decides_what_computes_a_convolution(monkeypatch, lacks_avx512, dtype, depth, computed_by):
    monkeypatch.setattr(convolutions, "lacks_avx512", lambda: lacks_avx512)

    @tf.function
    def slopes(x, kernel):
        with tf.GradientTape() as tape:
            tape.watch([x, kernel])
            y = convolutions.convolve_transposed(x, kernel)
        return tape.gradient(y, [x, kernel])

    graph = slopes.get_concrete_function(tf.zeros((2, 4, 4, 8), dtype), tf.zeros((4, 4, depth, 8), dtype)).graph
    types = [operation.type for operation in graph.get_operations()]
    assert [each for each in types if "Conv" in each or "MatMul" in each] == computed_by


def test_in_bfloat16_the_kernel_gradient_differs_by_its_rounding():
    x, d_outputs = (tf.random.stateless_normal((16, size, size, 64), seed=(1, size)) for size in (8, 4))
    exact = convolutions.kernel_gradient(x, d_outputs)
    found = convolutions.kernel_gradient(tf.cast(x, tf.bfloat16), tf.cast(d_outputs, tf.bfloat16))
    assert found.dtype == tf.bfloat16
    assert 0 < tf.norm(tf.cast(found, tf.float32) - exact) < 0.005 * tf.norm(exact)
