# One image for each static binary: docker build --build-arg BINARY=rest CONTEXT
# The context holds the binary and ca-certificates.crt; hack/images.sh prepares it.
FROM scratch
ARG BINARY
COPY ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY ${BINARY} /service
USER 65532:65532
ENTRYPOINT ["/service"]
