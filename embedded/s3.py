"""S3 on a folder: the boto3 client's methods, arguments, answers and errors over `<root>/<bucket>/<key>`.

For the services and clients that read and write the lake and Athena's results with no AWS account. An object is a
file, and a file that somebody copies into the folder is an object (`s3_key_path` tells which name holds which key).
Writes are atomic: bytes go to a temporary file that no listing shows, which is then renamed. Where S3 has a feature
that this has not (versions, encryption with customer keys, tagging, object lock), a request that uses it is refused by
name; arguments without an effect on bytes (ACL, StorageClass, ServerSideEncryption) are accepted.

Beside boto3's methods it has short cuts for the embedded Athena (`path`, `list_files`, `lister`), and one for what S3
does by itself: `archive`, a lifecycle's transition to GLACIER. An object in the archive is listed and cannot be read
until RestoreObject.
"""

from __future__ import annotations

import base64
import contextlib
import errno
import hashlib
import io
import os
import shutil
import stat
import threading
import time
import uuid
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any, ClassVar, cast
from urllib.parse import quote

from botocore.exceptions import ClientError
from botocore.handlers import validate_bucket_name
from botocore.response import StreamingBody

from embedded.aws_shape import REGION_NAME, Answer, Request, aware_datetime, operation
from embedded.s3_attributes import (
    METADATA_LIMIT_BYTES,
    ObjectAttributes,
    foreign_etag,
    read_attributes,
    write_attributes,
)
from embedded.s3_key_path import MARK, archived_path, escaped_path, is_bucket_name, plain_path
from embedded.s3_lifecycle import LifecycleOperations
from embedded.s3_listing import FolderReader, FoundFolder, StoredObject, last_modified, list_files, walk
from embedded.s3_multipart import MultipartUploads, Part, PartError

__all__ = ["S3", "StoredObject"]

KEY_LIMIT_BYTES = 1024
_CHUNK_BYTES = 1 << 20
_OWNER = {"DisplayName": "embedded", "ID": "75aa57f09aa0c8caeab4f8c24e99d10f8e7faeebf76c078efc7c6caea54ba06a"}
_STORED_HEADERS = (
    "ContentType",
    "CacheControl",
    "ContentDisposition",
    "ContentEncoding",
    "ContentLanguage",
    "WebsiteRedirectLocation",
)
_REFUSED = frozenset(
    {
        "SSECustomerAlgorithm",
        "SSECustomerKey",
        "SSECustomerKeyMD5",
        "CopySourceSSECustomerAlgorithm",
        "CopySourceSSECustomerKey",
        "Tagging",
        "ObjectLockMode",
        "ObjectLockRetainUntilDate",
        "ObjectLockLegalHoldStatus",
        "MFA",
        "WriteOffsetBytes",
    }
)
_WRITE_ATTEMPTS = 20
_ABANDONED_SECONDS = 24 * 3600


@dataclass(frozen=True)
class _Located:
    """An object found: its file, the file's status and what S3 remembers of it."""

    path: Path
    status: os.stat_result
    attributes: ObjectAttributes
    is_archived: bool = False

    @property
    def last_modified(self) -> datetime:
        return last_modified(self.status)


class _BoundedReader(io.RawIOBase):
    """The next `length` bytes of an open file, as the raw stream of a StreamingBody."""

    def __init__(self, file: IO[bytes], length: int) -> None:
        self._file = file
        self._left = length

    def readable(self) -> bool:
        return True

    def read(self, amt: int | None = -1) -> bytes:
        wanted = self._left if amt is None or amt < 0 else min(amt, self._left)
        chunk = self._file.read(wanted)
        self._left -= len(chunk)
        return chunk

    def readinto(self, buffer: Any) -> int:
        chunk = self.read(len(buffer))
        buffer[: len(chunk)] = chunk
        return len(chunk)

    def close(self) -> None:
        self._file.close()
        super().close()


class S3(LifecycleOperations):
    """S3 over one folder; safe for several threads and several processes on the same folder.

    `root` is made when absent. `clock` gives the LastModified of what is written through this object.
    """

    service_name: ClassVar[str] = "s3"
    constraint_error_code: ClassVar[str] = "InvalidArgument"
    unsupported_error_code: ClassVar[str] = "NotImplemented"
    unsupported_http_status: ClassVar[int] = 501

    def __init__(self, root: Path, *, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        super().__init__()
        root.mkdir(parents=True, exist_ok=True)
        self._root = Path(os.path.realpath(root))
        self._clock = clock
        self._temporary = self._root / f"{MARK}temporary"
        self._sweep()
        self._uploads = MultipartUploads(self._root / f"{MARK}uploads", clock)
        self._folder_for_file = threading.Lock()
        self._conditional_write = threading.Lock()
        self._reader = FolderReader()
        self._known_buckets: dict[str, tuple[int, int, Path]] = {}

    # --- the short cuts of the embedded Athena -------------------------------------------------------------------

    @property
    def root(self) -> Path:
        """The folder that holds the buckets, without symbolic links."""
        return self._root

    def path(self, bucket: str, key: str) -> Path:
        """The file that holds, or would hold, an object; never one outside the bucket's folder.

        Raises ClientError: NoSuchBucket, KeyTooLongError, InvalidURI (not Unicode text).
        """
        return self._file_of("GetObject", bucket, key)

    def list_files(self, bucket: str, prefix: str) -> Iterator[StoredObject]:
        """Every object of the bucket whose key starts with `prefix`, in key order; NoSuchBucket as ClientError."""
        return iter(self.lister(bucket)(prefix))

    def lister(self, bucket: str) -> Callable[[str], Iterable[StoredObject]]:
        """As list_files, of one bucket, which is looked for once: for whoever lists thousands of folders."""
        folder = self._known_bucket_folder(bucket)

        def listed(prefix: str) -> Iterable[StoredObject]:
            self._check_text("ListObjectsV2", prefix)
            return list_files(self._reader, folder, prefix)

        return listed

    # --- what S3 does by itself ----------------------------------------------------------------------------------

    def archive(self, bucket: str, key: str, *, unless_newer_than: datetime) -> bool:
        """Moves an object to the storage class GLACIER, as a lifecycle's transition does; its LastModified stays.

        False when there is none, and when it was written anew after that time. Doing it twice equals doing it once.
        """
        try:
            located = self._locate("HeadObject", bucket, key)
        except ClientError:
            return False
        if located.is_archived:
            return True
        if located.last_modified > unless_newer_than:
            return False
        target = archived_path(self._bucket_folder("HeadObject", bucket), key)
        target.parent.mkdir(parents=True, exist_ok=True)  # a long name's pieces are folders
        try:
            located.path.rename(target)
        except FileNotFoundError:
            return target.exists()
        return True

    def _known_bucket_folder(self, bucket: str) -> Path:
        """As _bucket_folder, for a caller that asks thousands of times: resolved again only when it is another one."""
        try:
            status = os.stat(f"{self._root}/{bucket}")  # noqa: PTH116  # a Path would take longer than the answer
        except OSError:
            return self._bucket_folder("ListObjectsV2", bucket)
        known = self._known_buckets.get(bucket)
        if known is None or known[:2] != (status.st_dev, status.st_ino):
            known = (status.st_dev, status.st_ino, self._bucket_folder("ListObjectsV2", bucket))
            self._known_buckets[bucket] = known
        return known[2]

    # --- buckets -------------------------------------------------------------------------------------------------

    @operation("CreateBucket")
    def create_bucket(self, request: Request) -> Answer:
        bucket = request["Bucket"]
        if not is_bucket_name(bucket):
            raise self.error(
                "CreateBucket",
                "InvalidBucketName",
                "The specified bucket is not valid.",
                error_members={"BucketName": bucket},
            )
        # us-east-1 answers 200 when the owner creates a bucket again (AWS API reference, CreateBucket)
        (self._root / bucket).mkdir(exist_ok=True)
        return {"Location": f"/{bucket}"}

    @operation("HeadBucket")
    def head_bucket(self, request: Request) -> Answer:
        try:
            self._bucket_folder("HeadBucket", request["Bucket"])
        except ClientError:
            raise self.error("HeadBucket", "404", "Not Found", http_status=404) from None
        return {"BucketRegion": REGION_NAME, "AccessPointAlias": False}

    @operation("GetBucketLocation")
    def get_bucket_location(self, request: Request) -> Answer:
        self._bucket_folder("GetBucketLocation", request["Bucket"])
        return {"LocationConstraint": None}

    @operation("GetBucketVersioning")
    def get_bucket_versioning(self, request: Request) -> Answer:
        """Never enabled: the answer S3 gives for a bucket that never had versions."""
        self._bucket_folder("GetBucketVersioning", request["Bucket"])
        return {}

    @operation("ListBuckets")
    def list_buckets(self, request: Request) -> Answer:
        prefix, token = request.get("Prefix", ""), request.get("ContinuationToken", "")
        limit = request.get("MaxBuckets", 10_000)
        names = sorted(e.name for e in os.scandir(self._root) if e.is_dir() and not e.name.startswith("."))
        chosen = [name for name in names if name.startswith(prefix) and name > token and is_bucket_name(name)]
        answer: Answer = {
            "Buckets": [
                {"Name": name, "CreationDate": last_modified((self._root / name).stat())} for name in chosen[:limit]
            ],
            "Owner": dict(_OWNER),
        }
        if len(chosen) > limit:
            answer["ContinuationToken"] = chosen[limit - 1]
        if prefix:
            answer["Prefix"] = prefix
        return answer

    @operation("DeleteBucket")
    def delete_bucket(self, request: Request) -> Answer:
        folder = self._bucket_folder("DeleteBucket", request["Bucket"])
        if next(walk(self._reader, folder, ""), None) is not None:
            raise self.error(
                "DeleteBucket",
                "BucketNotEmpty",
                "The bucket you tried to delete is not empty",
                http_status=409,
                error_members={"BucketName": request["Bucket"]},
            )
        shutil.rmtree(folder)
        self._forget_lifecycle(request["Bucket"])
        return {}

    # --- objects -------------------------------------------------------------------------------------------------

    @operation("PutObject")
    def put_object(self, request: Request) -> Answer:
        headers = {name: request[name] for name in _STORED_HEADERS if name in request}
        metadata = self._metadata("PutObject", request)
        with self._temporary_file() as (path, file):
            digests = _Digests(request)
            for chunk in _chunks(request.get("Body", b"")):
                file.write(chunk)
                digests.update(chunk)
            file.close()
            self._check_digests("PutObject", digests, request)
            attributes = self._seal("PutObject", path, ObjectAttributes(digests.etag, headers, metadata))
            self._publish("PutObject", path, request)
        return {"ETag": f'"{attributes.etag}"', **digests.answered()}

    @operation("GetObject")
    def get_object(self, request: Request) -> Answer:
        located, file = self._opened(request)
        try:
            start, stop, content_range = self._range("GetObject", request, located)
            file.seek(start)
        except BaseException:
            file.close()
            raise
        answer = self._description(located, request)
        answer["ContentLength"] = stop - start
        if content_range is not None:
            answer["ContentRange"] = content_range
        answer["Body"] = StreamingBody(cast(IO[bytes], _BoundedReader(file, stop - start)), stop - start)
        return answer

    @operation("HeadObject")
    def head_object(self, request: Request) -> Answer:
        try:
            located = self._conditional("HeadObject", request)
        except ClientError as error:
            status = error.response["ResponseMetadata"]["HTTPStatusCode"]
            if status == 404:
                raise self.error("HeadObject", "404", "Not Found", http_status=404) from None
            raise
        start, stop, content_range = self._range("HeadObject", request, located)
        answer = self._description(located, request)
        answer["ContentLength"] = stop - start
        if content_range is not None:
            answer["ContentRange"] = content_range
        return answer

    @operation("RestoreObject")
    def restore_object(self, request: Request) -> Answer:
        """At once and for good: the object is STANDARD again, as if written now; S3 makes a copy for some Days."""
        if "OutputLocation" in request.get("RestoreRequest", {}) or "Type" in request.get("RestoreRequest", {}):
            raise self.unsupported("RestoreObject", "RestoreRequest.Type")
        bucket, key = request["Bucket"], request["Key"]
        located = self._locate("RestoreObject", bucket, key)
        if not located.is_archived:
            message = "Restore is not allowed for the object's current storage class"
            raise self.error("RestoreObject", "InvalidObjectState", message, http_status=403)
        modified_ns = int(self._clock().timestamp() * 1_000_000) * 1000
        os.utime(located.path, ns=(modified_ns, modified_ns))
        write_attributes(located.path, located.attributes)  # they name the time they belong to
        target = self._file_of("RestoreObject", bucket, key)
        if not target.exists():
            located.path.rename(target)
        return {}

    @operation("DeleteObject")
    def delete_object(self, request: Request) -> Answer:
        if "IfMatch" in request:
            located = self._locate("DeleteObject", request["Bucket"], request["Key"])
            self._check_match("DeleteObject", request["IfMatch"], located)
        self._delete("DeleteObject", request["Bucket"], request["Key"])
        return {}

    @operation("DeleteObjects")
    def delete_objects(self, request: Request) -> Answer:
        objects = request["Delete"]["Objects"]
        if len(objects) > 1000 or not objects:
            raise self.error(
                "DeleteObjects",
                "MalformedXML",
                "The XML you provided was not well-formed or did not validate against our published schema",
            )
        self._bucket_folder("DeleteObjects", request["Bucket"])
        deleted, errors = [], []
        for item in objects:
            try:
                if item.get("VersionId", "null") != "null":
                    raise self.unsupported("DeleteObjects", "VersionId")
                if "ETag" in item:
                    located = self._locate("DeleteObjects", request["Bucket"], item["Key"])
                    self._check_match("DeleteObjects", item["ETag"], located)
                self._delete("DeleteObjects", request["Bucket"], item["Key"])
                deleted.append({"Key": item["Key"]})
            except ClientError as error:
                described = error.response["Error"]
                errors.append({"Key": item["Key"], "Code": described["Code"], "Message": described["Message"]})
        answer: Answer = {}
        if deleted and not request["Delete"].get("Quiet", False):
            answer["Deleted"] = deleted
        if errors:
            answer["Errors"] = errors
        return answer

    @operation("CopyObject")
    def copy_object(self, request: Request) -> Answer:
        bucket, key = self._copy_source("CopyObject", request["CopySource"])
        source = self._locate("CopyObject", bucket, key)
        self._check_copy_conditions("CopyObject", request, source)
        replaced = request.get("MetadataDirective") == "REPLACE"
        if (bucket, key) == (request["Bucket"], request["Key"]) and not replaced:
            raise self.error(
                "CopyObject",
                "InvalidRequest",
                "This copy request is illegal because it is trying to copy an object to itself without changing the "
                "object's metadata, storage class, website redirect location or encryption attributes.",
            )
        headers: Mapping[str, str] = source.attributes.headers
        metadata: Mapping[str, str] = source.attributes.metadata
        if replaced:
            headers = {name: request[name] for name in _STORED_HEADERS if name in request}
            metadata = self._metadata("CopyObject", request)
        with self._temporary_file() as (path, file), source.path.open("rb") as source_file:
            digests = _Digests({})
            for chunk in _chunks(source_file):
                file.write(chunk)
                digests.update(chunk)
            file.close()
            attributes = self._seal("CopyObject", path, ObjectAttributes(digests.etag, headers, metadata))
            self._publish("CopyObject", path, request)
        return {"CopyObjectResult": {"ETag": f'"{attributes.etag}"', "LastModified": self._now()}}

    # --- listings ------------------------------------------------------------------------------------------------

    @operation("ListObjectsV2")
    def list_objects_v2(self, request: Request) -> Answer:
        after, after_prefix = request.get("StartAfter", ""), None
        token = request.get("ContinuationToken")
        if token is not None:
            after, after_prefix = self._continuation(token)
        page = self._page("ListObjectsV2", request, after, after_prefix)
        answer = page.answer(request, StartAfter=request.get("StartAfter"), ContinuationToken=token)
        answer["KeyCount"] = len(page.contents) + len(page.common_prefixes)
        if page.last is not None:
            answer["NextContinuationToken"] = _continuation_token(*page.last)
        if not request.get("FetchOwner", False):
            for item in answer.get("Contents", ()):
                del item["Owner"]
        return answer

    @operation("ListObjects")
    def list_objects(self, request: Request) -> Answer:
        marker = request.get("Marker", "")
        delimiter = request.get("Delimiter", "")
        after_prefix = marker if delimiter and marker.endswith(delimiter) else None
        page = self._page("ListObjects", request, marker, after_prefix)
        answer = page.answer(request, Marker=marker)
        if page.last is not None and delimiter:
            answer["NextMarker"] = page.last[0]
        return answer

    # --- multipart uploads ---------------------------------------------------------------------------------------

    @operation("CreateMultipartUpload")
    def create_multipart_upload(self, request: Request) -> Answer:
        self._file_of("CreateMultipartUpload", request["Bucket"], request["Key"])
        headers = {name: request[name] for name in _STORED_HEADERS if name in request}
        metadata = self._metadata("CreateMultipartUpload", request)
        upload_id = self._uploads.create(request["Bucket"], request["Key"], headers, metadata)
        return {"Bucket": request["Bucket"], "Key": request["Key"], "UploadId": upload_id}

    @operation("UploadPart")
    def upload_part(self, request: Request) -> Answer:
        self._upload("UploadPart", request)
        self._check_part_number("UploadPart", request["PartNumber"])
        with self._temporary_file() as (path, file):
            digests = _Digests(request)
            for chunk in _chunks(request.get("Body", b"")):
                file.write(chunk)
                digests.update(chunk)
            file.close()
            self._check_digests("UploadPart", digests, request)
            self._uploads.add_part(request["UploadId"], request["PartNumber"], path, digests.etag)
        return {"ETag": f'"{digests.etag}"', **digests.answered()}

    @operation("UploadPartCopy")
    def upload_part_copy(self, request: Request) -> Answer:
        self._upload("UploadPartCopy", request)
        self._check_part_number("UploadPartCopy", request["PartNumber"])
        bucket, key = self._copy_source("UploadPartCopy", request["CopySource"])
        source = self._locate("UploadPartCopy", bucket, key)
        self._check_copy_conditions("UploadPartCopy", request, source)
        wanted = {"Range": request["CopySourceRange"]} if "CopySourceRange" in request else {}
        start, stop, _ = self._range("UploadPartCopy", wanted, source)
        with self._temporary_file() as (path, file), source.path.open("rb") as source_file:
            source_file.seek(start)
            digests = _Digests({})
            for chunk in _chunks(_BoundedReader(source_file, stop - start)):
                file.write(chunk)
                digests.update(chunk)
            file.close()
            self._uploads.add_part(request["UploadId"], request["PartNumber"], path, digests.etag)
        return {"CopyPartResult": {"ETag": f'"{digests.etag}"', "LastModified": self._now()}}

    @operation("CompleteMultipartUpload")
    def complete_multipart_upload(self, request: Request) -> Answer:
        upload = self._upload("CompleteMultipartUpload", request)
        wanted = [
            (part["PartNumber"], part.get("ETag", "").strip('"'))
            for part in request.get("MultipartUpload", {}).get("Parts", [])
        ]
        try:
            parts = self._uploads.chosen_parts(request["UploadId"], wanted)
        except PartError as error:
            raise self.error("CompleteMultipartUpload", error.code, error.message) from None
        etag = _multipart_etag(parts)
        with self._temporary_file() as (path, file):
            for part in parts:
                with part.path.open("rb") as part_file:
                    shutil.copyfileobj(part_file, file, _CHUNK_BYTES)
            file.close()
            sealed = ObjectAttributes(etag, upload.headers, upload.metadata, len(parts))
            attributes = self._seal("CompleteMultipartUpload", path, sealed)
            self._publish("CompleteMultipartUpload", path, request)
        self._uploads.remove(request["UploadId"])
        bucket, key = request["Bucket"], request["Key"]
        location = f"https://{bucket}.s3.amazonaws.com/{quote(key)}"
        return {"Location": location, "Bucket": bucket, "Key": key, "ETag": f'"{attributes.etag}"'}

    @operation("AbortMultipartUpload")
    def abort_multipart_upload(self, request: Request) -> Answer:
        self._upload("AbortMultipartUpload", request)
        self._uploads.remove(request["UploadId"])
        return {}

    @operation("ListParts")
    def list_parts(self, request: Request) -> Answer:
        self._upload("ListParts", request)
        limit, marker = request.get("MaxParts", 1000), int(request.get("PartNumberMarker", 0))
        parts = [part for part in self._uploads.parts(request["UploadId"]) if part.number > marker]
        answer: Answer = {
            "Bucket": request["Bucket"],
            "Key": request["Key"],
            "UploadId": request["UploadId"],
            "PartNumberMarker": marker,
            "MaxParts": limit,
            "IsTruncated": len(parts) > limit,
            "Owner": dict(_OWNER),
            "StorageClass": "STANDARD",
        }
        if parts:
            answer["Parts"] = [
                {
                    "PartNumber": part.number,
                    "LastModified": part.last_modified,
                    "ETag": f'"{part.etag}"',
                    "Size": part.size_bytes,
                }
                for part in parts[:limit]
            ]
            answer["NextPartNumberMarker"] = parts[:limit][-1].number if limit else marker
        return answer

    @operation("ListMultipartUploads")
    def list_multipart_uploads(self, request: Request) -> Answer:
        bucket = request["Bucket"]
        self._bucket_folder("ListMultipartUploads", bucket)
        prefix, limit = request.get("Prefix", ""), request.get("MaxUploads", 1000)
        if request.get("Delimiter"):
            raise self.unsupported("ListMultipartUploads", "Delimiter")
        after = (request.get("KeyMarker", ""), request.get("UploadIdMarker", ""))
        found = [
            upload
            for upload in self._uploads.uploads(bucket)
            if upload.key.startswith(prefix)
            and ((upload.key, upload.upload_id) > after if after[1] else upload.key > after[0] or not after[0])
        ]
        answer: Answer = {"Bucket": bucket, "KeyMarker": after[0], "UploadIdMarker": after[1], "MaxUploads": limit}
        answer["IsTruncated"] = len(found) > limit
        if answer["IsTruncated"] and limit:
            answer["NextKeyMarker"] = found[limit - 1].key
            answer["NextUploadIdMarker"] = found[limit - 1].upload_id
        if found:
            answer["Uploads"] = [
                {
                    "UploadId": upload.upload_id,
                    "Key": upload.key,
                    "Initiated": upload.initiated,
                    "StorageClass": "STANDARD",
                    "Owner": dict(_OWNER),
                    "Initiator": dict(_OWNER),
                }
                for upload in found[:limit]
            ]
        return answer

    # --- boto3's transfer methods (not operations of S3) ---------------------------------------------------------

    def upload_file(
        self,
        Filename: str | os.PathLike[str],  # noqa: N803  # boto3's names
        Bucket: str,  # noqa: N803
        Key: str,  # noqa: N803
        ExtraArgs: Mapping[str, Any] | None = None,  # noqa: N803
        Callback: Callable[[int], None] | None = None,  # noqa: N803
        Config: Any = None,  # noqa: ARG002, N803  # tunes a network transfer; there is none
    ) -> None:
        """Puts a file; one write whatever its size, so its ETag is the MD5."""
        with Path(Filename).open("rb") as file:
            self.upload_fileobj(file, Bucket, Key, ExtraArgs, Callback)

    def upload_fileobj(
        self,
        Fileobj: IO[bytes],  # noqa: N803
        Bucket: str,  # noqa: N803
        Key: str,  # noqa: N803
        ExtraArgs: Mapping[str, Any] | None = None,  # noqa: N803
        Callback: Callable[[int], None] | None = None,  # noqa: N803
        Config: Any = None,  # noqa: ARG002, N803
    ) -> None:
        """Puts what a file-like object yields until its end."""
        self.put_object(Bucket=Bucket, Key=Key, Body=Fileobj, **(ExtraArgs or {}))
        if Callback is not None:
            Callback(self.head_object(Bucket=Bucket, Key=Key)["ContentLength"])

    def download_file(
        self,
        Bucket: str,  # noqa: N803
        Key: str,  # noqa: N803
        Filename: str | os.PathLike[str],  # noqa: N803
        ExtraArgs: Mapping[str, Any] | None = None,  # noqa: N803
        Callback: Callable[[int], None] | None = None,  # noqa: N803
        Config: Any = None,  # noqa: ARG002, N803
    ) -> None:
        """Writes an object's bytes to a file; ClientError 404 as boto3's transfer, before the file is touched."""
        self.head_object(Bucket=Bucket, Key=Key)
        with Path(Filename).open("wb") as file:
            self.download_fileobj(Bucket, Key, file, ExtraArgs, Callback)

    def download_fileobj(
        self,
        Bucket: str,  # noqa: N803
        Key: str,  # noqa: N803
        Fileobj: IO[bytes],  # noqa: N803
        ExtraArgs: Mapping[str, Any] | None = None,  # noqa: N803
        Callback: Callable[[int], None] | None = None,  # noqa: N803
        Config: Any = None,  # noqa: ARG002, N803
    ) -> None:
        """Writes an object's bytes to a file-like object."""
        self.head_object(Bucket=Bucket, Key=Key)
        body = self.get_object(Bucket=Bucket, Key=Key, **(ExtraArgs or {}))["Body"]
        with contextlib.closing(body):
            for chunk in body.iter_chunks(_CHUNK_BYTES):
                Fileobj.write(chunk)
                if Callback is not None:
                    Callback(len(chunk))

    # --- requests ------------------------------------------------------------------------------------------------

    def _prepare(self, operation_name: str, arguments: Request) -> None:
        source = arguments.get("CopySource")
        if isinstance(source, Mapping):
            # boto3 takes a mapping or a string and validates the string it makes of it
            version = f"?versionId={source['VersionId']}" if "VersionId" in source else ""
            arguments["CopySource"] = f"{source['Bucket']}/{source['Key']}{version}"
        super()._prepare(operation_name, arguments)
        validate_bucket_name(arguments)
        refused = sorted(_REFUSED & arguments.keys())
        if refused:
            raise self.unsupported(operation_name, refused[0])
        if arguments.get("VersionId", "null") != "null":
            raise self.unsupported(operation_name, "VersionId")

    def _check_text(self, operation_name: str, text: str) -> None:
        try:
            text.encode()
        except UnicodeEncodeError:
            raise self.error(operation_name, "InvalidURI", "Couldn't parse the specified URI.") from None

    def _bucket_folder(self, operation_name: str, bucket: str) -> Path:
        folder = self._root / bucket
        if not is_bucket_name(bucket) or not folder.is_dir():
            raise self.error(
                operation_name,
                "NoSuchBucket",
                "The specified bucket does not exist",
                http_status=404,
                error_members={"BucketName": bucket},
            )
        return Path(os.path.realpath(folder))

    def _no_such_key(self, operation_name: str, key: str) -> ClientError:
        return self.error(
            operation_name,
            "NoSuchKey",
            "The specified key does not exist.",
            http_status=404,
            error_members={"Key": key},
        )

    def _file_of(self, operation_name: str, bucket: str, key: str) -> Path:
        folder = self._bucket_folder(operation_name, bucket)
        self._check_text(operation_name, key)
        if not key or len(key.encode()) > KEY_LIMIT_BYTES:
            raise self._key_too_long(operation_name)
        plain = plain_path(folder, key)
        try:
            if plain.is_file():
                return plain
            escaped = escaped_path(folder, key)
            return escaped if escaped.is_file() or plain.is_dir() else plain
        except OSError as error:
            raise self._storage_error(operation_name, error) from error

    def _storage_error(self, operation_name: str, error: OSError) -> Exception:
        return self._key_too_long(operation_name) if error.errno == errno.ENAMETOOLONG else error

    def _key_too_long(self, operation_name: str) -> ClientError:
        return self.error(operation_name, "KeyTooLongError", "Your key is too long")

    def _copy_source(self, operation_name: str, source: str) -> tuple[str, str]:
        location, _, version = source.removeprefix("/").partition("?versionId=")
        if version not in {"", "null"}:
            raise self.unsupported(operation_name, "CopySource with versionId")
        bucket, _, key = location.partition("/")
        if not key:
            raise self.error(
                operation_name,
                "InvalidArgument",
                "Copy Source must mention the source bucket and key: sourcebucket/sourcekey",
            )
        return bucket, key

    def _metadata(self, operation_name: str, request: Request) -> dict[str, str]:
        metadata = {name.lower(): value for name, value in request.get("Metadata", {}).items()}
        size_bytes = sum(len(name.encode()) + len(value.encode()) for name, value in metadata.items())
        if size_bytes > METADATA_LIMIT_BYTES:
            raise self.error(
                operation_name,
                "MetadataTooLarge",
                "Your metadata headers exceed the maximum allowed metadata size",
                error_members={"Size": str(size_bytes), "MaxSizeAllowed": str(METADATA_LIMIT_BYTES)},
            )
        return metadata

    def _check_part_number(self, operation_name: str, number: int) -> None:
        if not 1 <= number <= 10_000:
            raise self.error(
                operation_name, "InvalidArgument", "Part number must be an integer between 1 and 10000, inclusive"
            )

    def _upload(self, operation_name: str, request: Request) -> Any:
        self._bucket_folder(operation_name, request["Bucket"])
        upload = self._uploads.find(request["UploadId"])
        if upload is None or (upload.bucket, upload.key) != (request["Bucket"], request["Key"]):
            raise self.error(
                operation_name,
                "NoSuchUpload",
                "The specified upload does not exist. The upload ID may be invalid, or the upload may have been "
                "aborted or completed.",
                http_status=404,
                error_members={"UploadId": request["UploadId"]},
            )
        return upload

    # --- reading -------------------------------------------------------------------------------------------------

    def _locate(self, operation_name: str, bucket: str, key: str) -> _Located:
        path = self._file_of(operation_name, bucket, key)
        try:
            status = path.lstat()
        except (FileNotFoundError, NotADirectoryError):
            return self._locate_archived(operation_name, bucket, key)
        except OSError as error:
            raise self._storage_error(operation_name, error) from error
        # a symbolic link anywhere on the way is no part of the bucket
        if os.path.realpath(path) != str(path) or not stat.S_ISREG(status.st_mode):
            raise self._no_such_key(operation_name, key)
        return _Located(path, status, read_attributes(path, status))

    def _locate_archived(self, operation_name: str, bucket: str, key: str) -> _Located:
        path = archived_path(self._bucket_folder(operation_name, bucket), key)
        try:
            status = path.lstat()
        except OSError:
            raise self._no_such_key(operation_name, key) from None
        if os.path.realpath(path) != str(path) or not stat.S_ISREG(status.st_mode):
            raise self._no_such_key(operation_name, key)
        if operation_name in ("GetObject", "CopyObject", "UploadPartCopy"):
            is_read = operation_name == "GetObject"
            raise self.error(
                operation_name,
                "InvalidObjectState" if is_read else "ObjectNotInActiveTierError",
                "The operation is not valid for the object's storage class"
                if is_read
                else "The source object of the COPY action is not in the active tier",
                http_status=403,
                error_members={"StorageClass": "GLACIER"},
            )
        return _Located(path, status, read_attributes(path, status), is_archived=True)

    def _opened(self, request: Request) -> tuple[_Located, IO[bytes]]:
        """An object and its open file, the same one even while a writer replaces it."""
        while True:
            located = self._conditional("GetObject", request)
            try:
                file = located.path.open("rb")
            except FileNotFoundError:
                continue
            opened = os.fstat(file.fileno())
            if (opened.st_ino, opened.st_mtime_ns) == (located.status.st_ino, located.status.st_mtime_ns):
                return located, file
            file.close()

    def _conditional(self, operation_name: str, request: Request) -> _Located:
        if request.get("PartNumber", 1) != 1:
            raise self.unsupported(operation_name, "PartNumber")
        located = self._locate(operation_name, request["Bucket"], request["Key"])
        if "IfMatch" in request:
            self._check_match(operation_name, request["IfMatch"], located)
        elif "IfUnmodifiedSince" in request and located.last_modified > aware_datetime(
            request["IfUnmodifiedSince"]
        ).astimezone(UTC):
            raise self._precondition_failed(operation_name, "If-Unmodified-Since")
        if "IfNoneMatch" in request:
            if _etag_matches(request["IfNoneMatch"], located.attributes.etag):
                raise self.error(operation_name, "304", "Not Modified", http_status=304)
        elif "IfModifiedSince" in request and located.last_modified <= aware_datetime(
            request["IfModifiedSince"]
        ).astimezone(UTC):
            raise self.error(operation_name, "304", "Not Modified", http_status=304)
        return located

    def _check_match(self, operation_name: str, expected: str, located: _Located) -> None:
        if not _etag_matches(expected, located.attributes.etag):
            raise self._precondition_failed(operation_name, "If-Match")

    def _check_copy_conditions(self, operation_name: str, request: Request, source: _Located) -> None:
        if "CopySourceIfMatch" in request and not _etag_matches(request["CopySourceIfMatch"], source.attributes.etag):
            raise self._precondition_failed(operation_name, "x-amz-copy-source-If-Match")
        for name in ("CopySourceIfNoneMatch", "CopySourceIfModifiedSince", "CopySourceIfUnmodifiedSince"):
            if name in request:
                raise self.unsupported(operation_name, name)

    def _precondition_failed(self, operation_name: str, condition: str) -> ClientError:
        return self.error(
            operation_name,
            "PreconditionFailed",
            "At least one of the pre-conditions you specified did not hold",
            http_status=412,
            error_members={"Condition": condition},
        )

    def _range(self, operation_name: str, request: Request, located: _Located) -> tuple[int, int, str | None]:
        """First byte, the byte after the last one and the ContentRange of a request (None: the whole object)."""
        size = located.status.st_size
        bounds = _parsed_range(request.get("Range"))
        if bounds is None:
            return 0, size, None
        first, last = bounds
        if first is None:
            start, stop = max(0, size - (last or 0)), size
        else:
            start, stop = first, size if last is None else min(last + 1, size)
        if start >= size or start >= stop:
            raise self.error(
                operation_name,
                "InvalidRange",
                "The requested range is not satisfiable",
                http_status=416,
                error_members={"RangeRequested": request["Range"], "ActualObjectSize": str(size)},
            )
        return start, stop, f"bytes {start}-{stop - 1}/{size}"

    def _description(self, located: _Located, request: Request) -> Answer:
        attributes = located.attributes
        answer: Answer = {
            "AcceptRanges": "bytes",
            "LastModified": located.last_modified,
            "ETag": f'"{attributes.etag}"',
            "ContentType": attributes.content_type,
            "Metadata": dict(attributes.metadata),
            **{name: value for name, value in attributes.headers.items() if name != "ContentType"},
        }
        if located.is_archived:
            answer["StorageClass"] = "GLACIER"
        if attributes.part_count is not None and "PartNumber" in request:
            answer["PartsCount"] = attributes.part_count
        for name in _STORED_HEADERS:
            if f"Response{name}" in request:
                answer[name] = request[f"Response{name}"]
        return answer

    def _continuation(self, token: str) -> tuple[str, str | None]:
        try:
            text = base64.b64decode(token, altchars=b"-_", validate=True).decode()
        except ValueError:
            text = ""
        kind, key = text[:1], text[1:]
        if kind not in {"k", "p"}:
            raise self.error("ListObjectsV2", "InvalidArgument", "The continuation token provided is incorrect")
        return key, key if kind == "p" else None

    def _page(self, operation_name: str, request: Request, after: str, after_prefix: str | None) -> _Page:
        folder = self._bucket_folder(operation_name, request["Bucket"])
        prefix, delimiter = request.get("Prefix", ""), request.get("Delimiter", "")
        for text in (prefix, delimiter, after):
            self._check_text(operation_name, text)
        limit = request.get("MaxKeys", 1000)
        if limit < 0:
            raise self.error(
                operation_name, "InvalidArgument", "Argument maxKeys must be an integer between 0 and 2147483647"
            )
        page = _Page(min(limit, 1000), [], [])
        if limit == 0:
            return page
        told_prefix = after_prefix
        found = walk(self._reader, folder, prefix, after=after, after_prefix=after_prefix, fold=delimiter == "/")
        for item in found:
            common = item.key if isinstance(item, FoundFolder) else _common_prefix(item.key, prefix, delimiter)
            if common is not None and common == told_prefix:
                continue
            status = None if isinstance(item, FoundFolder) else item.stat()
            if common is None and status is None:
                continue
            if page.is_full:
                page.is_truncated = True
                break
            if common is not None:
                told_prefix = common
                page.common_prefixes.append(common)
                page.last_told = (common, True)
            elif status is not None and not isinstance(item, FoundFolder):
                attributes = read_attributes(item.path, status)
                page.contents.append(
                    {
                        "Key": item.key,
                        "LastModified": last_modified(status),
                        "ETag": f'"{attributes.etag}"',
                        "Size": status.st_size,
                        "StorageClass": "GLACIER" if item.is_archived else "STANDARD",
                        "Owner": dict(_OWNER),
                    }
                )
                page.last_told = (item.key, False)
        return page

    # --- writing -------------------------------------------------------------------------------------------------

    def _now(self) -> datetime:
        return self._clock().astimezone(UTC).replace(microsecond=0)

    def _sweep(self) -> None:
        """Removes what writers left that were killed a day ago or earlier."""
        if not self._temporary.is_dir():
            return
        for path in self._temporary.iterdir():
            with contextlib.suppress(FileNotFoundError):
                if path.stat().st_mtime < time.time() - _ABANDONED_SECONDS:
                    path.unlink()

    @contextlib.contextmanager
    def _temporary_file(self) -> Iterator[tuple[Path, IO[bytes]]]:
        """A new file beside the buckets, gone at the end unless it was moved away."""
        self._temporary.mkdir(exist_ok=True)
        path = self._temporary / uuid.uuid4().hex
        file = path.open("wb")
        try:
            yield path, file
        finally:
            file.close()
            path.unlink(missing_ok=True)

    def _seal(self, operation_name: str, path: Path, attributes: ObjectAttributes) -> ObjectAttributes:
        """Dates a complete temporary file and writes its attributes; returns those that reading will find."""
        modified_ns = int(self._clock().timestamp() * 1_000_000) * 1000
        os.utime(path, ns=(modified_ns, modified_ns))
        if write_attributes(path, attributes):
            return attributes
        if attributes.metadata or attributes.headers:
            raise self.unsupported(operation_name, "Metadata and headers on a file system without extended attributes")
        return ObjectAttributes(foreign_etag(path.stat().st_size, modified_ns))

    def _publish(self, operation_name: str, temporary_path: Path, request: Request) -> None:
        """Moves a complete file to where its object lies, under the request's conditions.

        IfNoneMatch holds against every process, IfMatch against the threads of this one.
        """
        if "IfMatch" not in request:
            self._move_in(operation_name, temporary_path, request)
            return
        with self._conditional_write:
            located = self._locate(operation_name, request["Bucket"], request["Key"])
            self._check_match(operation_name, request["IfMatch"], located)
            self._move_in(operation_name, temporary_path, request)

    def _move_in(self, operation_name: str, temporary_path: Path, request: Request) -> None:
        bucket, key = request["Bucket"], request["Key"]
        for _ in range(_WRITE_ATTEMPTS):
            target = self._file_of(operation_name, bucket, key)
            folder = self._bucket_folder(operation_name, bucket)
            try:
                self._make_folders(folder, target.parent)
                if os.path.realpath(target.parent) != str(target.parent) or target.is_symlink():
                    raise self.error(
                        operation_name,
                        "AccessDenied",
                        "Access Denied: a symbolic link lies on the way",
                        http_status=403,
                    )
                if request.get("IfNoneMatch") == "*":
                    if archived_path(folder, key).exists():
                        raise FileExistsError
                    target.hardlink_to(temporary_path)
                else:
                    temporary_path.replace(target)
                archived_path(folder, key).unlink(missing_ok=True)
                return
            except FileExistsError:
                raise self._precondition_failed(operation_name, "If-None-Match") from None
            except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
                continue  # another writer or deleter changed the folders meanwhile
            except OSError as error:
                raise self._storage_error(operation_name, error) from error
        raise self.error(
            operation_name, "OperationAborted", "A conflicting operation is in progress. Try again.", http_status=409
        )

    def _make_folders(self, bucket_folder: Path, folder: Path) -> None:
        """Makes a folder inside a bucket; an object in the way moves to its escaped name."""
        try:
            folder.mkdir(parents=True, exist_ok=True)
            return
        except (FileExistsError, NotADirectoryError):
            pass
        with self._folder_for_file:
            at = bucket_folder
            for name in folder.relative_to(bucket_folder).parts:
                at = at / name
                if at.is_file() and not at.is_symlink():
                    at.replace(escaped_path(at.parent, name))
                at.mkdir(exist_ok=True)

    def _delete(self, operation_name: str, bucket: str, key: str) -> None:
        folder = self._bucket_folder(operation_name, bucket)
        path = self._file_of(operation_name, bucket, key)
        try:
            if os.path.realpath(path) != str(path):
                return
            path.unlink(missing_ok=True)
            archived_path(folder, key).unlink(missing_ok=True)
        except (NotADirectoryError, IsADirectoryError):
            return
        except OSError as error:
            raise self._storage_error(operation_name, error) from error
        for parent in path.parents:
            if parent == folder:
                return
            try:
                parent.rmdir()
            except OSError:
                return

    def _check_digests(self, operation_name: str, digests: _Digests, request: Request) -> None:
        if request.get("ContentLength", digests.size_bytes) != digests.size_bytes:
            raise self.error(
                operation_name,
                "IncompleteBody",
                "You did not provide the number of bytes specified by the Content-Length HTTP header",
            )
        content_md5 = request.get("ContentMD5")
        if content_md5 is not None and content_md5 != digests.content_md5:
            raise self.error(
                operation_name, "BadDigest", "The Content-MD5 you specified did not match what we received."
            )
        for name, value in digests.answered().items():
            if request.get(name, value) != value:
                raise self.error(
                    operation_name,
                    "BadDigest",
                    f"The {name.removeprefix('Checksum')} you specified did not match the calculated checksum.",
                )


@dataclass
class _Page:
    """One page of a listing, being filled."""

    limit: int
    contents: list[dict[str, Any]]
    common_prefixes: list[str]
    is_truncated: bool = False
    last_told: tuple[str, bool] | None = None

    @property
    def is_full(self) -> bool:
        return len(self.contents) + len(self.common_prefixes) >= self.limit

    @property
    def last(self) -> tuple[str, bool] | None:
        """What was told last, and whether that is a common prefix; None on the last page."""
        return self.last_told if self.is_truncated else None

    def answer(self, request: Request, **echoed: str | None) -> Answer:
        """The members that both versions of the listing have."""
        encode = _url_encoded if request.get("EncodingType") == "url" else str
        answer: Answer = {
            "IsTruncated": self.is_truncated,
            "Name": request["Bucket"],
            "Prefix": encode(request.get("Prefix", "")),
            "MaxKeys": self.limit,
        }
        if self.contents:
            answer["Contents"] = [{**item, "Key": encode(item["Key"])} for item in self.contents]
        if self.common_prefixes:
            answer["CommonPrefixes"] = [{"Prefix": encode(prefix)} for prefix in self.common_prefixes]
        if request.get("Delimiter"):
            answer["Delimiter"] = encode(request["Delimiter"])
        if "EncodingType" in request:
            answer["EncodingType"] = request["EncodingType"]
        for name, value in echoed.items():
            if value is not None:
                answer[name] = value if name == "ContinuationToken" else encode(value)
        return answer


class _Digests:
    """MD5 and the checksums a request asks for, over the bytes as they pass."""

    def __init__(self, request: Request) -> None:
        self._md5 = hashlib.md5(usedforsecurity=False)
        self.size_bytes = 0
        algorithm = request.get("ChecksumAlgorithm", "")
        self._crc32 = 0 if "ChecksumCRC32" in request or algorithm == "CRC32" else None
        self._hashes = {
            name: hashlib.new(digest, usedforsecurity=False)
            for name, digest in (("ChecksumSHA1", "sha1"), ("ChecksumSHA256", "sha256"))
            if name in request or algorithm == name.removeprefix("Checksum")
        }

    def update(self, chunk: bytes) -> None:
        self._md5.update(chunk)
        self.size_bytes += len(chunk)
        if self._crc32 is not None:
            self._crc32 = zlib.crc32(chunk, self._crc32)
        for running in self._hashes.values():
            running.update(chunk)

    @property
    def etag(self) -> str:
        return self._md5.hexdigest()

    @property
    def content_md5(self) -> str:
        return base64.b64encode(self._md5.digest()).decode()

    def answered(self) -> dict[str, str]:
        """The checksums that go back to the client, by member name."""
        found = {name: base64.b64encode(running.digest()).decode() for name, running in self._hashes.items()}
        if self._crc32 is not None:
            found["ChecksumCRC32"] = base64.b64encode(self._crc32.to_bytes(4, "big")).decode()
        return found


def _chunks(body: Any) -> Iterator[bytes]:
    """The bytes of a boto3 Body argument: bytes, text, or anything with read()."""
    if isinstance(body, str):
        yield body.encode()
    elif isinstance(body, bytes | bytearray | memoryview):
        yield bytes(body)
    else:
        while chunk := body.read(_CHUNK_BYTES):
            yield chunk.encode() if isinstance(chunk, str) else chunk


def _multipart_etag(parts: list[Part]) -> str:
    joined = b"".join(bytes.fromhex(part.etag) for part in parts)
    return f"{hashlib.md5(joined, usedforsecurity=False).hexdigest()}-{len(parts)}"


def _etag_matches(condition: str, etag: str) -> bool:
    return condition.strip() == "*" or etag in {
        item.strip().removeprefix("W/").strip('"') for item in condition.split(",")
    }


def _parsed_range(header: str | None) -> tuple[int | None, int | None] | None:
    """(first, last) of `bytes=first-last`; (None, n) is the last n bytes; None where S3 ignores the header."""
    unit, _, bounds = (header or "").partition("=")
    first, dash, last = bounds.strip().partition("-")
    if unit.strip() != "bytes" or not dash or not (first + last).isascii() or not (first + last).isdigit():
        return None
    if first and last and int(first) > int(last):
        return None
    return (int(first) if first else None), (int(last) if last else None)


def _common_prefix(key: str, prefix: str, delimiter: str) -> str | None:
    """What S3 folds this key into; None when the key itself is listed."""
    if not delimiter:
        return None
    at = key.find(delimiter, len(prefix))
    return None if at < 0 else key[: at + len(delimiter)]


def _continuation_token(key: str, is_prefix: bool) -> str:
    return base64.urlsafe_b64encode((("p" if is_prefix else "k") + key).encode()).decode()


def _url_encoded(text: str) -> str:
    return quote(text, safe="/-_.~*")
