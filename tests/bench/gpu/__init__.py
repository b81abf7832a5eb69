"""Training steps on one NVIDIA GPU, mlkit beside PyTorch: one script per row of the table.

``python -m tests.bench.gpu.mlp`` (resnet50, gpt2, lstm) needs a Python that has both libraries. Both sides get the same
weights, data and switches and take turns in one process; a step is forward, backward and optimizer, timed with the
device synchronised. Prints the losses, the medians and their ratio, the memory peaks and the achieved FLOP/s, and adds
the row to ``results/`` beside this folder.
"""
