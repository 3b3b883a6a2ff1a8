"""What a phantom is made of: body, vessels, scanner, and the picture of them."""
