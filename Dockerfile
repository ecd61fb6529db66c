# One image for every node of a cluster: `docker run -v coxswain:/var/lib/coxswain coxswain:local leader --raft.node-id=1 …`.
ARG NODE_IMAGE=node:22.21.1-bookworm-slim

FROM ${NODE_IMAGE} AS build
WORKDIR /coxswain
COPY . .
# The tests' and builders' dependencies stay out: what ships is installed anew, without a network.
RUN node scripts/bootstrap.mjs \
 && rm -rf node_modules packages/*/node_modules bench \
 && CI=true npx -y "$(node -p 'require("./package.json").packageManager')" \
      install --prod --frozen-lockfile --offline --filter '@coxswain/cli...' \
 && rm -rf packages/simulator packages/testing packages/*/src packages/*/test packages/*/dist/test \
 && find packages -name '*.tsbuildinfo' -delete && find packages/*/dist -name '*.map' -delete && find packages/*/dist -name '*.d.ts' -delete

FROM ${NODE_IMAGE}
LABEL org.opencontainers.image.title="Coxswain" \
      org.opencontainers.image.description="A Raft-replicated key-value server that speaks Regatta's API" \
      org.opencontainers.image.licenses="Apache-2.0"
ENV NODE_ENV=production \
    COXSWAIN_DATA_DIR=/var/lib/coxswain
WORKDIR /coxswain
COPY --from=build /coxswain/package.json /coxswain/LICENSE ./
COPY --from=build /coxswain/node_modules node_modules
COPY --from=build /coxswain/packages packages
# Listeners on every address of the container, unless a configuration, the environment or flags say otherwise.
COPY deploy/container/config.yaml ./
# Nodes run as somebody who can change nothing of the image, and npm has no part in running them.
RUN ln -s /coxswain/packages/cli/bin/coxswain.cjs /usr/local/bin/coxswain \
 && install -d -o node -g node -m 0700 /var/lib/coxswain \
 && rm -rf /usr/local/lib/node_modules /usr/local/bin/npm /usr/local/bin/npx /usr/local/bin/corepack /opt/yarn-*
USER node
VOLUME /var/lib/coxswain
# API, replication, Raft, metrics and health.
EXPOSE 8443 8444 5012 8079
STOPSIGNAL SIGTERM
# Whether the node serves. With another rest.address, or TLS there, give --health-cmd or a healthcheck of your own.
HEALTHCHECK --interval=5s --timeout=5s --start-period=60s --retries=3 \
  CMD ["node", "-e", "fetch('http://127.0.0.1:8079/readyz').then(({ ok }) => process.exit(ok ? 0 : 1), () => process.exit(1))"]
ENTRYPOINT ["coxswain"]
CMD ["--help"]
