"""What PyTorch has and no other room of mlkit needs; one file per path of PyTorch."""
