# Journeyman with its private programs. Workspaces run in this container too, by bubblewrap: what
# they find in /usr is what this image has, so add the compilers and interpreters of your code in
# an image of your own (FROM journeyman). What bubblewrap needs of the engine: docker-compose.yml.

FROM rust:1-bookworm AS build
WORKDIR /src
COPY . .
# execd runs inside every workspace, whatever libraries that has: it is linked statically.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    set -eu; \
    cargo build --locked --release --bin journeyman --features kubernetes; \
    host=$(rustc -vV | sed -n 's/^host: //p'); \
    RUSTFLAGS="-C target-feature=+crt-static" \
        cargo build --locked --release --package execd --bin execd --target "$host"; \
    mkdir /out; \
    cp target/release/journeyman "target/$host/release/execd" /out/; \
    ! ldd /out/execd 2>/dev/null | grep -q '=>'

FROM debian:12-slim
RUN apt-get update \
    && apt-get install -y --no-install-recommends bash bubblewrap ca-certificates git openssh-client python3 \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --user-group --home-dir /var/lib/journeyman --create-home --shell /usr/sbin/nologin journeyman
COPY --from=build /out/journeyman /out/execd /usr/local/bin/
COPY LICENSE /usr/share/doc/journeyman/LICENSE

ENV JOURNEYMAN_DATA_DIR=/var/lib/journeyman \
    JOURNEYMAN_LISTEN=0.0.0.0:8080 \
    JOURNEYMAN_LOG_FORMAT=json
USER journeyman
WORKDIR /var/lib/journeyman
VOLUME /var/lib/journeyman
EXPOSE 8080
# It drains for at most 15 s.
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s --retries=3 CMD ["journeyman", "healthcheck"]
ENTRYPOINT ["journeyman"]
CMD ["serve"]
