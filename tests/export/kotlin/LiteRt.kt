// The public classes of LiteRT 2.3.0 that examples/android uses, with the same names, parameters and types. They
// compute nothing: a model "draws" the grey levels 0, 127, 128 and 255 in turn.
package com.google.ai.edge.litert

import android.content.res.AssetManager

var channels = 1
var closed = 0

enum class Accelerator { NONE, CPU, GPU, NPU }

class Environment

class TensorBuffer internal constructor(private val values: ByteArray = ByteArray(0)) : AutoCloseable {
  internal var written = intArrayOf()

  fun writeInt(data: IntArray) {
    written = data
  }

  fun readInt8(): ByteArray = values

  override fun close() {
    closed++
  }
}

class CompiledModel private constructor(private val name: String) : AutoCloseable {
  class Options(internal val accelerators: Set<Accelerator>) {
    constructor(vararg accelerators: Accelerator) : this(setOf(*accelerators))

    companion object {
      @JvmStatic val CPU = Options(Accelerator.CPU)
    }
  }

  fun createInputBuffers(signature: String): List<TensorBuffer> = List(2) { TensorBuffer() }

  fun createOutputBuffers(signature: String): List<TensorBuffer> =
    listOf(TensorBuffer(ByteArray(4 * channels) { listOf(0, 127, 128, 255)[it % 4].toByte() }))

  fun run(inputs: List<TensorBuffer>, signature: String): List<TensorBuffer> =
    createOutputBuffers(signature).also { run(inputs, it, signature) }

  fun run(inputs: List<TensorBuffer>, outputs: List<TensorBuffer>, signature: String) =
    println("$name $signature ${inputs.joinToString(" ") { it.written.contentToString() }}")

  override fun close() {
    closed++
  }

  companion object {
    @JvmOverloads
    @JvmStatic
    fun create(
      assetManager: AssetManager,
      assetName: String,
      options: Options = Options.CPU,
      optionalEnv: Environment? = null,
    ): CompiledModel = CompiledModel(assetName)
  }
}
