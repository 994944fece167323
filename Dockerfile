# The page with its weights, on the CPU. Everything it writes goes to /tmp:
#
#   docker build --tag facet .
#   docker run --rm --publish 7860:7860 --read-only --tmpfs /tmp facet
#
# For NVIDIA GPUs, where PyPI's own wheels of PyTorch carry CUDA (some 6 GB):
#
#   docker build --tag facet-cuda --build-arg TORCH_INDEX=https://pypi.org/simple .
#   docker run --rm --publish 7860:7860 --gpus all facet-cuda

# `make pin-image` writes the digest behind the tag.
FROM python:3.12-slim

# PyTorch's index of wheels without CUDA
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu

ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
ENV GRADIO_SERVER_NAME=0.0.0.0 GRADIO_SERVER_PORT=7860
ENV HOME=/tmp GRADIO_TEMP_DIR=/tmp/gradio HF_HOME=/tmp/huggingface

WORKDIR /app

# PyTorch first and from that index alone, so that the rest finds it there and brings no other. What it needs itself comes
# with the rest: that index has few versions of it.
COPY requirements.txt deploy/constraints.txt ./
RUN grep '^torch' requirements.txt > /tmp/torch.txt \
    && pip install --no-cache-dir --no-deps --index-url ${TORCH_INDEX} --constraint constraints.txt --requirement /tmp/torch.txt \
    && pip install --no-cache-dir --constraint constraints.txt --requirement requirements.txt \
    && rm /tmp/torch.txt

COPY LICENSE README.md app.py ./
COPY model/ model/
COPY ui/ ui/
COPY assets/ assets/
COPY weights/ weights/

USER 1000
EXPOSE 7860
HEALTHCHECK --interval=30s --timeout=20s --start-period=60s --retries=3 \
    CMD ["python", "-m", "ui.server.health"]
CMD ["python", "app.py"]
