# MemNet on a CPU: `docker build --tag memnet .`, then
#   docker run --rm --volume "$PWD:/work" memnet restore photo.jpg --task jpeg --output restored
#   docker run --rm --publish 8888:8888 --entrypoint jupyter memnet lab --ip 0.0.0.0 /memnet/notebooks
# For a GPU: `docker build --build-arg TORCH= .`, and `docker run --gpus all`.
FROM python:3.12-slim

ARG TORCH=cpu
RUN apt-get update && apt-get install --yes --no-install-recommends git make && rm -rf /var/lib/apt/lists/* \
    && useradd --create-home reader && install --directory --owner reader /memnet /work
USER reader
WORKDIR /memnet
COPY --chown=reader . .
RUN make setup TORCH=${TORCH} EXTRAS=lab,fetch && rm -rf ~/.cache/pip
ENV PATH=/memnet/.venv/bin:$PATH

WORKDIR /work
ENTRYPOINT ["memnet"]
CMD ["--help"]
