# A stand-in for the official MongoDB image: the same user, paths and entry point, a wire-compatible server.
ARG PYTHON
FROM ${PYTHON}
ARG SECANTUSDB
RUN python -m venv /opt/mongo && /opt/mongo/bin/pip install --no-cache-dir "$SECANTUSDB" pymongo \
    && groupadd --gid 999 mongodb && useradd --uid 999 --gid mongodb --home-dir /data/db mongodb \
    && install -d -o mongodb -g mongodb /data/db
COPY mongo-entrypoint.sh /usr/local/bin/docker-entrypoint.sh
COPY mongosh /usr/local/bin/mongosh
ENTRYPOINT ["docker-entrypoint.sh"]
CMD ["mongod"]
