"""Places in which secrets stand: code, shells, configuration, headers, SQL, logs.

``<s>`` is the secret, ``<n>`` its name.
"""

from __future__ import annotations

import base64
import re


def _words(text: str) -> list[str]:
    return text.split()


#: Names of secrets as code and configuration write them.
SNAKE = _words(
    "password passwd pwd api_key secret_key access_token db_pass smtp_pw passcode aws_creds user_pin "
    "client_secret private_key db_password auth_token my_secret redis_pass passphrase refresh_token bot_token"
)
UPPER = _words(
    "DB_PASSWORD API_KEY SECRET_KEY PGPASSWORD MYSQL_PWD SMTP_PASS ADMIN_PW DOOR_PASSCODE "
    "AWS_SECRET_ACCESS_KEY HF_TOKEN OPENAI_API_KEY WANDB_API_KEY FTP_PASS ROOT_PW CARD_PIN SSHPASS VAULT_TOKEN "
    "APP_CREDS"
)
CAMEL = _words("password dbPassword apiKey clientSecret accessToken userPass adminPw passCode secretKey authToken")
DASHED = _words("password api-key access-token client-secret db-pass admin-pw auth-token secret-key passphrase")
NAMES = {"snake": SNAKE, "UPPER": UPPER, "camel": CAMEL, "dashed": DASHED}

QUOTED = r"[^\"'\\\n`]+"
#: In a shell without quotes, and in text formats that end a value at a space.
BARE = r"[^\s\"'\\`$;&|<>(){}\[\]*?!#~,-][^\s\"'\\`$;&|<>(){}\[\]*?,]*"
WORD = r"[^\s\"'\\`;&|<>(){}\[\],$*?-][^\s\"'\\`;&|<>(){}\[\],$]*"
#: Without the signs that end the host of a URL, for addresses with a path.
HOST_PASSWORD = r"[^\s\"'\\`<>()\[\]{}/?#]+"
URL_PASSWORD = r"[^\s\"'\\`<>()\[\]{}]+"
ENCODED = r"[\w.%!$~-]+"
COOKIE = r"[A-Za-z0-9._%/+=-]{8,}"

#: Context: (style of the name, text, what the secret may contain).
NAMED: dict[str, tuple[str, str, str]] = {
    "assignment": ("snake", '<n> = "<s>"\n', QUOTED),
    "single quotes": ("snake", "x = 1\n<n>='<s>'  # mine\n", QUOTED),
    "annotated": ("snake", '<n>: str = "<s>"', QUOTED),
    "bytes": ("snake", 'self.<n> = b"<s>"', QUOTED),
    "raw": ("UPPER", '<n> = r"<s>"', QUOTED),
    "triple quotes": ("UPPER", '<n> = """<s>"""', QUOTED),
    "in brackets": ("snake", '<n> = (\n    "<s>"\n)', QUOTED),
    "tuple": ("snake", 'user, <n> = "me", "<s>"', QUOTED),
    "tuple first": ("snake", '<n>, user = "<s>", "me"', QUOTED),
    "keyword argument": ("snake", 'db = connect("host", user="me", <n>="<s>", port=5432)', QUOTED),
    "default of a function": ("snake", 'def login(user, <n>="<s>"):\n    pass', QUOTED),
    "dict": ("snake", 'config = {"user": "me", "<n>": "<s>", "depth": 3}', QUOTED),
    "subscript": ("snake", 'config["db"]["<n>"] = "<s>"', QUOTED),
    "environ": ("UPPER", 'os.environ["<n>"] = "<s>"', QUOTED),
    "getenv": ("UPPER", 'x = os.getenv("<n>", "<s>")', QUOTED),
    "setenv": ("UPPER", 'monkeypatch.setenv("<n>", "<s>")', QUOTED),
    "setattr": ("snake", 'setattr(settings, "<n>", "<s>")', QUOTED),
    "configparser": ("snake", 'parser.set("database", "<n>", "<s>")', QUOTED),
    "argparse": ("dashed", 'parser.add_argument("--<n>", default="<s>", help="how to log in")', QUOTED),
    "field": ("snake", '    <n>: str = Field(default="<s>")', QUOTED),
    "secret type": ("snake", '<n> = SecretStr("<s>")', QUOTED),
    "comparison": ("snake", 'if <n> == "<s>":\n    run()', QUOTED),
    "setter": ("snake", 'user.set_password("<s>")', QUOTED),
    "comment": ("snake", "x = 2  # <n>: <s>\n", WORD),
    "env magic": ("UPPER", "%env <n>=<s>", BARE),
    "env magic with a space": ("UPPER", "%env <n> <s>", BARE),
    "export": ("UPPER", "export <n>=<s>", BARE),
    "export quoted": ("UPPER", 'export <n>="<s>"', QUOTED),
    "before a command": ("UPPER", "!<n>=<s> python train.py --epochs 3", BARE),
    "env dump": ("UPPER", "HOME=/home/me\nLANG=C.UTF-8\n<n>=<s>\nSHELL=/bin/bash\n", BARE),
    "dotenv": ("UPPER", "DB_HOST=localhost\n<n>=<s>\nDB_PORT=5432\n", BARE),
    "dockerfile": ("UPPER", "FROM python:3.11\nENV <n>=<s>\nRUN make\n", BARE),
    "docker run": ("UPPER", "docker run -e <n>=<s> -p 80:80 image", BARE),
    "powershell": ("UPPER", '$env:<n> = "<s>"', QUOTED),
    "yaml": ("snake", "db:\n  host: localhost\n  <n>: <s>\n  port: 5432\n", WORD),
    "yaml quoted": ("snake", 'db:\n  <n>: "<s>"\n', QUOTED),
    "yaml of containers": ("UPPER", "env:\n  - name: <n>\n    value: <s>\n  - name: A\n    value: b\n", WORD),
    "json": ("camel", '{"user": "me", "<n>": "<s>", "port": 5432}', QUOTED),
    "json in json": ("camel", '{"body": "{\\"user\\": \\"me\\", \\"<n>\\": \\"<s>\\"}"}', QUOTED),
    "json pair": ("UPPER", '[{"name": "<n>", "value": "<s>"}, {"name": "A", "value": "b"}]', QUOTED),
    "toml": ("snake", '[database]\nhost = "localhost"\n<n> = "<s>"\n', QUOTED),
    "ini": ("snake", "[database]\nhost = localhost\n<n> = <s>\nport = 5432\n", WORD),
    "properties": ("dashed", "spring.datasource.url=jdbc:h2:mem\nspring.datasource.<n>=<s>\n", WORD),
    "flag": ("dashed", "run --host db --<n> <s> --port 5432", BARE),
    "flag with equals": ("dashed", "run --host db --<n>=<s> --port 5432", BARE),
    "flag quoted": ("dashed", "run --<n> '<s>' --port 5432", QUOTED),
    "arguments": ("dashed", 'subprocess.run(["tool", "--<n>", "<s>", "--verbose"])', QUOTED),
    "connection string": ("camel", '"Server=db;User Id=me;<n>=<s>;Timeout=30"', r"[^\s\"'\\;`]+"),
    "libpq": ("snake", 'dsn = "host=db user=me <n>=<s> dbname=x"', r"[^\s\"'\\`{]+"),
    "query": ("snake", "GET https://api.example.org/v1/x?page=2&<n>=<s>&sort=up HTTP/1.1", ENCODED),
    "header": ("dashed", "GET / HTTP/1.1\nHost: example.org\nX-<n>: <s>\nAccept: */*\n", r"[\w.+/=!:-]{6,}"),
    "header in a dict": ("dashed", 'requests.get(url, headers={"X-<n>": "<s>"})', QUOTED),
    "header of curl": ("dashed", "curl -H 'X-<n>: <s>' https://example.org", QUOTED),
    "xml": ("camel", "<db><user>me</user><<n>><s></<n>></db>", r"[^<>&]+"),
    "xml attribute": ("camel", '<db user="me" <n>="<s>"/>', QUOTED),
    "xml property": ("camel", '<property name="hibernate.<n>" value="<s>"/>', QUOTED),
    "sql assignment": ("snake", "UPDATE users SET <n> = '<s>' WHERE id = 1;", QUOTED),
    "traceback": (
        "snake", 'Traceback (most recent call last):\n  File "a.py", line 3, in f\n    db = connect(<n>="<s>")\n'
        "ValueError: no route\n", QUOTED,
    ),
    "log line": ("snake", "2026-01-02 03:04:05 INFO login user=me <n>=<s> host=db", BARE),
    "repr": ("snake", "Settings(host='db', <n>='<s>', port=5432)", QUOTED),
    "notebook source": ("snake", '{"cells": [{"source": ["<n> = \'<s>\'\\n"]}]}', QUOTED),
    "diff": ("snake", '-<n> = ""\n+<n> = "<s>"\n x = 1\n', QUOTED),
    "hcl": ("snake", 'resource "x" "y" {\n  <n> = "<s>"\n}\n', QUOTED),
    "ruby hash": ("snake", "{ :user => 'me', :<n> => '<s>' }", QUOTED),
    "helm": ("camel", "helm install x --set db.<n>=<s> --wait", BARE),
    "literal of kubectl": ("dashed", "kubectl create secret generic x --from-literal=<n>=<s>", BARE),
    "prose": ("snake", "the <n> is '<s>' until Friday", QUOTED),
}  # fmt: skip

#: Places that tell a secret without a name.
PLACES: dict[str, tuple[str, str]] = {
    "mysql": ("mysql -h db -u root -p<s> shop < dump.sql", BARE),
    "mysql quoted": ("!mysqldump --host db -u root -p'<s>' shop", QUOTED),
    "mysql arguments": ('subprocess.run(["mysql", "-u", "root", "-p<s>", "shop"])', BARE),
    "sshpass": ("sshpass -p <s> ssh me@host", BARE),
    "sshpass quoted": ("sshpass -p '<s>' scp a me@host:", QUOTED),
    "curl": ("curl -u me:<s> https://example.org/x", BARE),
    "curl long": ('curl -sS --user "me:<s>" https://example.org/x', QUOTED),
    "wget": ("wget --user=me --http-password=<s> https://example.org/x", BARE),
    "docker login": ("docker login -u me -p <s> registry.example.org", BARE),
    "redis-cli": ("redis-cli -h cache -a <s> ping", BARE),
    "sqlcmd": ("sqlcmd -S db -U sa -P <s> -Q 'select 1'", BARE),
    "openssl": ("openssl enc -aes-256-cbc -in a -out b -pass pass:<s>", BARE),
    "echo into sudo": ("echo '<s>' | sudo -S make install", QUOTED),
    "echo into docker": ("echo <s> | docker login --username me --password-stdin", BARE),
    "7z": ("7z a -p<s> x.7z data", BARE),
    "netrc": ("machine example.org login me password <s>\n", BARE),
    "netrc lines": ("machine example.org\n  login me\n  password <s>\n", BARE),
    "sql create user": ("CREATE USER me WITH PASSWORD '<s>';", QUOTED),
    "sql alter role": ("ALTER ROLE me WITH LOGIN ENCRYPTED PASSWORD '<s>' VALID UNTIL 'infinity';", QUOTED),
    "sql identified by": ("CREATE USER 'me'@'%' IDENTIFIED BY '<s>';", QUOTED),
    "sql login": ("CREATE LOGIN me WITH PASSWORD = N'<s>', CHECK_POLICY = OFF;", QUOTED),
    "sql insert": ("INSERT INTO users (name, password, age) VALUES ('me', '<s>', 31);", QUOTED),
    "docker config": ('{"auths": {"https://index.docker.io/v1/": {"auth": "<s>"}}}', "credentials"),
    "npmrc": ("//registry.example.org/:_auth=<s>\n", "credentials"),
    "basic": ("Authorization: Basic <s>\n", "credentials"),
    "basic in a dict": ('headers = {"Authorization": "Basic <s>"}', "credentials"),
    "bearer": ("curl -H 'Authorization: Bearer <s>' https://example.org", r"[A-Za-z0-9._~+/=-]{6,}"),
    "token scheme": ('headers = {"Authorization": "token <s>"}', QUOTED),
    "set-cookie": ("HTTP/1.1 200 OK\nSet-Cookie: sessionid=<s>; Path=/; HttpOnly\n", COOKIE),
    "set-cookie of a site": ("< set-cookie: acme_auth=<s>; Secure; SameSite=Lax\n", COOKIE),
    "cookie": ("Cookie: theme=dark; sessionid=<s>; lang=en\n", COOKIE),
    "cookie of curl": ("curl -b 'PHPSESSID=<s>' https://example.org", COOKIE),
    "auth tuple": ('requests.get(url, auth=("me", "<s>"))', QUOTED),
    "basic auth": ('session.auth = HTTPBasicAuth("me", "<s>")', QUOTED),
    "login": ('smtp.login("me@example.org", "<s>")', QUOTED),
    "url of postgres": ("postgresql://me:<s>@db.example.org:5432/x", URL_PASSWORD),
    "url of mysql": ('create_engine("mysql+pymysql://me:<s>@localhost/shop?charset=utf8")', URL_PASSWORD),
    "url of redis": ("redis://:<s>@cache:6379/0", URL_PASSWORD),
    "url of mongo": ("MONGO=mongodb+srv://me:<s>@cluster0.abcd.mongodb.net/x?retryWrites=true", URL_PASSWORD),
    "url of a site": ("pip install --index-url https://me:<s>@pypi.example.org/simple torch", HOST_PASSWORD),
    "url of git": ("git clone https://me:<s>@git.example.org/a/b.git", HOST_PASSWORD),
    "signature": ("https://acct.blob.core.windows.net/c/b.csv?sv=2022-11-02&sp=r&sig=<s>&se=2026", r"[\w%-]{12,}"),
    "account key": ("AccountName=acct;AccountKey=<s>;EndpointSuffix=core.windows.net", r"[\w+/=-]{8,}"),
    "wandb": ("wandb login <s>", r"[a-f0-9]{40}"),
    "wandb call": ('wandb.login(key="<s>")', r"[a-f0-9]{40}"),
    "kaggle": ('{"username": "me", "key": "<s>"}', r"[a-f0-9]{32}"),
    "jdbc": ("jdbc:postgresql://db/x?user=me&password=<s>", ENCODED),
    "pgpass": ("db.example.org:5432:shop:me:<s>\n", r"[^\s:\"'\\]+"),
}  # fmt: skip

#: Places for tokens that are known by their form.
OPEN: dict[str, str] = {
    "literal": 'x = "<s>"',
    "call": 'client = Client("<s>", timeout=3)',
    "list": 'rows = ["a", "<s>", "b"]',
    "print": "connected with <s> to the host\n",
    "error": "ValueError: 401 unauthorized: <s> was refused",
    "comment": "# old one: <s>\nx = 1\n",
    "csv": "id,value\n1,<s>\n2,x\n",
    "table": "   id                value\n0   1  <s>\n1   2  abc\n",
    "json": '{"a": 1, "value": "<s>"}',
    "tag": "note: run with <s>",
    "argument": "tool <s> --verbose",
    "markdown": "use `<s>` for the demo",
    "html": "<td><s></td>",
    "neutral assignment": "VALUE=<s>\n",
    "repr": "Client(url='x', v='<s>')",
    "url": "https://example.org/x?page=1&v=<s>",
    "string of lines": '"""\nfirst\n<s>\nlast\n"""',
    "escaped": '"body": "{\\"v\\": \\"<s>\\"}"',
}


def fits(pattern: str, secret: str) -> bool:
    """Whether a secret may stand in a place that accepts `pattern`."""
    return pattern == "credentials" or re.fullmatch(pattern, secret) is not None


def in_place(pattern: str, secret: str) -> str:
    """The secret as it stands in the place: user and password in Base64 where that is the form."""
    return base64.b64encode(f"me:{secret}".encode()).decode() if pattern == "credentials" else secret
