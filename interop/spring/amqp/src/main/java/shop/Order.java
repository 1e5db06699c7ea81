package shop;

/** What a customer wants. */
public record Order(int number, String item) {
}
