FROM python:3.13-slim AS build
WORKDIR /srv
# With what writes Arrow and Parquet.
COPY requirements-arrow.txt ./
RUN python -m venv --without-pip /venv \
 && pip --python /venv/bin/python install --no-cache-dir --require-hashes --requirement requirements-arrow.txt
COPY alembic.ini ./
COPY db_schema ./db_schema
COPY app ./app
# Readable by everybody, however strict the checkout was. Nobody writes to the image afterwards, so its bytecode is made
# here and never checked against the sources.
RUN rm requirements-arrow.txt \
 && chmod -R a+rX . \
 && /venv/bin/python -m compileall -q --invalidation-mode unchecked-hash app db_schema

FROM python:3.13-slim
RUN useradd --system --uid 10001 --home-dir /data --create-home candles
COPY --from=build /venv /venv
COPY --from=build /srv /srv
ENV PATH=/venv/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    DATABASE_URL=sqlite:////data/candles.db \
    HOST=0.0.0.0 \
    PORT=8000
WORKDIR /srv
USER candles
EXPOSE 8000
CMD ["python", "-m", "app.io.cli", "serve"]
