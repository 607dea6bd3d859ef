# docker build -t sharpvae . && docker run --rm -v "$PWD/reports:/sharpvae/reports" sharpvae
# PyTorch from the package index runs on CPU and, with `--gpus all`, on CUDA.
FROM python:3.11-slim
RUN apt-get update \
    && apt-get install --yes --no-install-recommends git make \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /sharpvae
COPY . .
RUN make setup
ENV PATH=/sharpvae/.venv/bin:$PATH
CMD ["make", "repro"]
