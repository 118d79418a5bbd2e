# One file to run: the program with its policies inside.
#
#   docker build -t weir .
#   docker run -p 8080:8080 -v weir:/data weir

FROM rust:1.95-bookworm AS build
WORKDIR /src
# Before the sources, so that a change of these does not fetch the target again.
RUN rustup target add wasm32-unknown-unknown
COPY . .
RUN make build CARGO_TARGET_DIR=/target

FROM debian:bookworm-slim
RUN useradd --system --uid 10001 --home-dir /data weir && install -d -o weir -g weir /data
COPY --from=build /target/release/weir /usr/local/bin/weir
USER weir
WORKDIR /data
VOLUME /data
# The database, generated keys and compiled policies go to /data/weir-data; weir.toml and policies.d
# are read from /data, if they are there.
ENV WEIR_LISTEN=0.0.0.0:8080
EXPOSE 8080
# SIGTERM drains: calls under way finish. `docker stop` waits ten seconds unless told otherwise.
ENTRYPOINT ["weir"]
CMD ["serve"]
