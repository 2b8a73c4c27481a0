// Draws pictures with an exported generator on Android.
//
// build.gradle.kts, with minSdk 24 or later:
//   implementation("com.google.ai.edge.litert:litert:2.3.0")
//   implementation("com.google.ai.edge.litert:litert-gpu:2.3.0")  // for Accelerator.GPU only
// Put generator-int8.tflite into src/main/assets/.
//
// The tests compile this file against stubs of the package's public classes. It was not run on a device.

import android.content.Context
import android.graphics.Bitmap
import com.google.ai.edge.litert.Accelerator
import com.google.ai.edge.litert.CompiledModel
import kotlin.math.sqrt

/** Draws pictures; do not use it on the main thread. */
class Digits(context: Context) : AutoCloseable {
  // The integer operators of `sample` run on a CPU. Accelerator.GPU suits only `generate` of the float files.
  private val model =
    CompiledModel.create(context.assets, "generator-int8.tflite", CompiledModel.Options(Accelerator.CPU))
  private val inputs = model.createInputBuffers("sample")
  private val outputs = model.createOutputBuffers("sample")

  /**
   * Picture `number` of `seed`.
   *
   * `label` is the number of a class, if the file has classes: its metadata.json names them. Pictures of the same seed
   * and number are in one handwriting.
   */
  fun draw(seed: Int, number: Int, label: Int = 0): Bitmap {
    inputs[0].writeInt(intArrayOf(seed, number))
    if (inputs.size > 1) inputs[1].writeInt(intArrayOf(label))
    model.run(inputs, outputs, "sample")
    val values = outputs[0].readInt8()  // size * size * channels bytes; the package has no uint8
    val channels = if (side(values.size) * side(values.size) == values.size) 1 else 3  // no square is three squares
    val size = side(values.size / channels)
    val colours = IntArray(size * size) { i ->
      val (r, g, b) = List(3) { c -> values[i * channels + c % channels].toInt() and 0xFF }
      (0xFF shl 24) or (r shl 16) or (g shl 8) or b
    }
    return Bitmap.createBitmap(colours, size, size, Bitmap.Config.ARGB_8888)
  }

  private fun side(pixels: Int) = sqrt(pixels.toDouble()).toInt()

  override fun close() {
    (inputs + outputs).forEach { it.close() }
    model.close()
  }
}
