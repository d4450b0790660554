"""A service that knows classes by a few photos each, and learns others while it runs.

    SKFSL_TOKEN=... python server.py FOLDER

FOLDER is made by make_model.py. Reading is open to whoever reaches the server; what
changes something asks for the token, also on this machine, since any page in a browser
may post to localhost. Without SKFSL_TOKEN one is made and printed.
"""

import argparse
import contextlib
import hmac
import logging
import os
import secrets
from collections import Counter
from pathlib import Path as FilePath
from typing import Annotated

import anyio
import uvicorn
from fastapi import Depends, FastAPI, Header, HTTPException, Path, Request
from fastapi.responses import FileResponse, HTMLResponse, JSONResponse
from metrics import Metrics
from service import Limits, Refused, Service
from starlette.datastructures import UploadFile

PAGE = FilePath(__file__).with_name("page.html").read_text(encoding="utf-8")
Name = Annotated[str, Path(pattern="^[0-9a-f]{32}$")]


def create_app(service, token, *, n_workers=2):
    """Make the application.

    Parameters
    ----------
    service : Service
        Closed when the application is shut down.
    token : str
        What writers have to know.
    n_workers : int
        Pictures that are decoded and embedded at a time: each may take up to 16 bytes
        of memory for a pixel.
    """
    limits, answers = service.limits, Counter()

    @contextlib.asynccontextmanager
    async def lifespan(app):
        yield
        service.close()

    # The pages on the interface would load scripts from elsewhere.
    app = FastAPI(title="skfsl", lifespan=lifespan, docs_url=None, redoc_url=None)
    slots = anyio.CapacityLimiter(n_workers)

    def gauges():
        classes = service.classes()
        return {
            "classes": len(classes),
            "samples": sum(map(len, classes.values())),
            "writable": int(service.writable),
            "answers_known_total": answers[True],
            "answers_unknown_total": answers[False],
        }

    app.add_middleware(Metrics, gauges=gauges)

    async def run(function, *args):
        return await anyio.to_thread.run_sync(function, *args, limiter=slots)

    def writer(authorization: Annotated[str, Header()] = ""):
        given = authorization.encode("utf-8", "surrogateescape")
        if not hmac.compare_digest(given, b"Bearer " + token.encode()):
            raise HTTPException(
                401, "This asks for the token: Authorization: Bearer <token>.",
                headers={"WWW-Authenticate": "Bearer"},
            )  # fmt: skip

    async def uploads(request, max_files):
        """Return image files out of a form, and never take more than is allowed."""
        too_large = HTTPException(
            413, f"A request may have {limits.max_bytes} bytes. Send less at a time."
        )
        if int(request.headers.get("content-length", 0)) > limits.max_bytes:
            raise too_large
        n_bytes = 0

        async def receive():
            nonlocal n_bytes
            message = await request.receive()
            n_bytes += len(message.get("body", b""))
            if n_bytes > limits.max_bytes:
                raise too_large
            return message

        form = Request(request.scope, receive).form(max_files=max_files, max_fields=0)
        async with form as fields:
            files = fields.getlist("image")
            if not files or not all(isinstance(f, UploadFile) for f in files):
                raise HTTPException(
                    400, "Send image files in fields called 'image' of a form, as "
                    "curl -F image=@photo.jpg does.",
                )  # fmt: skip
            return [await file.read() for file in files]

    @app.exception_handler(Refused)
    def refused(request, error):
        return JSONResponse({"detail": str(error)}, error.status)

    @app.get("/", response_class=HTMLResponse)
    def page():
        nonce = secrets.token_urlsafe(16)
        policy = (
            f"default-src 'none'; connect-src 'self'; img-src 'self' blob: data:; "
            f"style-src 'nonce-{nonce}'; script-src 'nonce-{nonce}'; "
            f"frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
        )
        return HTMLResponse(
            PAGE.replace("{{nonce}}", nonce),
            headers={
                "Content-Security-Policy": policy,
                "Referrer-Policy": "no-referrer",
            },
        )

    @app.get("/health")
    def health():
        return {"status": "ok", "writable": service.writable}

    @app.post("/predict")
    async def predict(request: Request):
        (content,) = await uploads(request, 1)
        answer = await run(service.predict, content)
        answers[answer["known"]] += 1
        return answer

    @app.get("/classes")
    def classes():
        return [{"label": y, "samples": ids} for y, ids in service.classes().items()]

    @app.post("/classes/{label:path}", dependencies=[Depends(writer)], status_code=201)
    async def add(label: str, request: Request):
        contents = await uploads(request, limits.max_files)
        return {"ids": await run(service.add, label, contents)}

    @app.delete(
        "/classes/{label:path}", dependencies=[Depends(writer)], status_code=204
    )
    def remove_class(label: str):
        service.remove_class(label)

    @app.get("/samples/{name}.png")
    def picture(name: Name):
        path = service.picture(name)
        if not path.exists():
            raise HTTPException(404, f"There is no sample {name!r}.")
        headers = {"X-Content-Type-Options": "nosniff", "Cache-Control": "no-cache"}
        return FileResponse(path, media_type="image/png", headers=headers)

    @app.put("/samples/{name}/label/{label:path}", dependencies=[Depends(writer)])
    async def correct(name: Name, label: str):
        return {"id": await run(service.correct, name, label)}

    @app.delete("/samples/{name}", dependencies=[Depends(writer)], status_code=204)
    def remove(name: Name):
        service.remove(name)

    return app


def main():
    """Serve the folder that is named on the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=FilePath, help="made by make_model.py")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000)
    for name, value in vars(Limits()).items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=int, default=value)
    args = parser.parse_args()
    token = os.environ.get("SKFSL_TOKEN") or secrets.token_urlsafe(24)
    if not token.isascii() or not token.isprintable():
        parser.error("SKFSL_TOKEN has to be of printable ASCII characters")
    limits = Limits(**{name: getattr(args, name) for name in vars(Limits())})
    logging.captureWarnings(True)
    app = create_app(Service(args.folder, limits=limits), token)
    fragment = "" if "SKFSL_TOKEN" in os.environ else f"#token={token}"
    print(f"http://{args.host}:{args.port}/{fragment}", flush=True)
    uvicorn.run(
        app, host=args.host, port=args.port, limit_concurrency=64,
        timeout_graceful_shutdown=10, log_level="warning",
    )  # fmt: skip


if __name__ == "__main__":
    main()
