# syntax=docker/dockerfile:1

FROM node:20-slim AS build
WORKDIR /src
COPY package.json package-lock.json ./
RUN npm ci --no-audit --no-fund
COPY . .
RUN npm run build && npm prune --omit=dev --no-audit --no-fund

FROM node:20-slim
WORKDIR /app
COPY --from=build /src/package.json ./
COPY --from=build /src/node_modules ./node_modules
COPY --from=build /src/dist ./dist
RUN ln -s /app/dist/cli/main.js /usr/local/bin/kv4 \
  && chmod 755 dist/cli/main.js \
  && install -d -o node -g node -m 700 /data
# Inside a container the loopback address reaches nobody.
ENV NODE_ENV=production KV4_HOST=0.0.0.0 KV4_DATA_DIR=/data
USER node
VOLUME /data
EXPOSE 4006
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s --retries=3 \
  CMD ["node", "-e", "fetch('http://127.0.0.1:' + (process.env.KV4_PORT || 4006) + '/readyz').then((r) => process.exit(r.ok ? 0 : 1), () => process.exit(1))"]
# Requests leave much short-lived memory behind; a larger young generation collects it less often.
ENTRYPOINT ["node", "--max-semi-space-size=64", "/app/dist/cli/main.js"]
CMD ["serve"]
