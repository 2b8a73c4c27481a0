import android.content.Context

/** Draws a picture of 2x2 pixels with the example's class and the stubs in this folder, and prints what happened. */
fun main(arguments: Array<String>) {
  com.google.ai.edge.litert.channels = arguments[0].toInt()
  val pixels = Digits(Context()).use { it.draw(7, 1, label = 3).pixels }
  println(pixels.joinToString(" ") { "%08x".format(it) })
  println("closed ${com.google.ai.edge.litert.closed}")
}
