# One image for every node of a cluster: `docker run coxswain leader --raft.node-id=1 …`.
FROM node:22-slim AS build
WORKDIR /coxswain
COPY . .
# The tests' and builders' dependencies stay behind: what ships is installed anew, without a network.
RUN node scripts/bootstrap.mjs \
 && rm -rf node_modules packages/*/node_modules bench \
 && CI=true npx -y "$(node -p 'require("./package.json").packageManager')" \
      install --prod --frozen-lockfile --offline --filter '@coxswain/cli...' \
 && rm -rf packages/simulator packages/testing packages/*/src packages/*/test packages/*/dist/test packages/*/dist/*.tsbuildinfo

FROM node:22-slim
ENV NODE_ENV=production \
    COXSWAIN_DATA_DIR=/var/lib/coxswain
WORKDIR /coxswain
COPY --from=build /coxswain/package.json /coxswain/LICENSE ./
COPY --from=build /coxswain/node_modules node_modules
COPY --from=build /coxswain/packages packages
RUN ln -s /coxswain/packages/cli/bin/coxswain.cjs /usr/local/bin/coxswain \
 && install -d -o node -g node /var/lib/coxswain
USER node
VOLUME /var/lib/coxswain
# API, replication, raft, metrics and health.
EXPOSE 8443 8444 5012 8079
ENTRYPOINT ["coxswain"]
CMD ["--help"]
