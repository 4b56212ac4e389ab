"""Secrets that are masked, names of secrets, and what stays as it is."""

from __future__ import annotations

import pytest

from mlops_workbench.core.secrets import MASK, mask, mask_value
from mlops_workbench.core.secrets.names import name_strength

S = "hunter2-correct"
AWS = "AKIA" + "IOSFODNN7EXAMPLE"
AWS_SECRET = "wJalrXUtnFEMI" + "K7MDENGbPxRfiCYzEXAMPLEKEY9"
GITHUB = "ghp_" + "16C7e42F292c6912E7710c838347Ae178B4a"
OPENAI = "sk-" + "proj-abcdefGHIJ1234567890klmn"
SLACK = "xoxb-" + "123456789012-abcdefABCDEF"
JWT = "eyJhbGciOiJIUzI1NiJ9." + "eyJzdWIiOiIxMjM0NTY3ODkwIn0." + "dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U"
RANDOM = "q7Xk29sD02ksZ1" + "vB8nM4wQ6yT3uI"
PEM_LINE = "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQDx"

HIDDEN = [
    (f'API_KEY = "{S}"', S),
    (f"api_key='{S}'", S),
    (f'api_key: str = "{S}"', S),
    (f'client = Client("u", password="{S}", n=3)', S),
    (f'config = {{"password": "{S}", "user": "me"}}', S),
    (f'os.environ["X_TOKEN"] = "{S}"', S),
    (f'os.environ.setdefault("X_TOKEN", "{S}")', S),
    (f'monkeypatch.setenv("DB_PASSWORD", "{S}")', S),
    (f'os.getenv("DB_PASSWORD", "{S}")', S),
    (f'log_param("token", "{S}")', S),
    (f"%env WANDB_API_KEY={S}", S),
    ("%env MY_TOKEN letmein", "letmein"),
    (f"%set_env MY_SECRET {S}", S),
    ("export TOKEN=letmein", "letmein"),
    ("!export DB_PASSWORD=letmein; run", "letmein"),
    ("DB_PASSWORD=letmein\nDB_USER=me\n", "letmein"),
    (f"password: {S}\n", S),
    ('password = "letmein"', "letmein"),
    ('password = """letmein"""', "letmein"),
    ('password = (\n    "letmein"\n)', "letmein"),
    ('password = SecretStr("letmein")', "letmein"),
    ('if password == "letmein": pass', "letmein"),
    ('db_passwd = r"letmein"', "letmein"),
    ('passphrase = b"letmein"', "letmein"),
    ("PWD_DB = 'it\\'s-letmein'", "letmein"),
    ('requests.get(u, auth=("me", "hunter22xY7"))', "hunter22xY7"),
    ('credentials = ["me1", "letmein"]', "letmein"),
    (f'curl -H "X-Api-Key: {S}1"', S),
    (f"mysql --password {S}", S),
    (f"run --token={S}", S),
    ('dsn = "host=db user=me password=letmein dbname=x"', "letmein"),
    ('"Server=db;User Id=me;Password=letmein;"', "letmein"),
    (f"DefaultEndpointsProtocol=https;AccountName=x;AccountKey={AWS_SECRET}==;", AWS_SECRET),
    ('url = "https://host/x?token=letmein&page=2"', "letmein"),
    ("postgresql://me:letmein@db:5432/x", "letmein"),
    ("postgresql+psycopg://me:let@mein@db/x", "let@mein"),
    ("redis://:letmein@cache:6379/0", "letmein"),
    (f"git remote add origin https://x-access-token:{GITHUB}@github.com/a/b.git", GITHUB),
    (f"https://{GITHUB}@github.com/a/b", GITHUB),
    (f"Authorization: Bearer {RANDOM}", RANDOM),
    ('headers = {"Authorization": "Bearer abc.def-123"}', "abc.def-123"),
    ('headers = {"X": "Basic dXNlcjpwYXNzd29yZA=="}', "dXNlcjpwYXNzd29yZA"),
    (f"aws_access_key_id = {AWS}", AWS),
    (f"seen: {AWS}", AWS),
    (f"x = '{GITHUB}'", GITHUB),
    (f"x = '{OPENAI}'", OPENAI),
    (f"x = '{SLACK}'", SLACK),
    (f"print('{JWT}')", JWT),
    (f"x = '{RANDOM}'", RANDOM),
    (f"connect('{AWS_SECRET}')", AWS_SECRET),
    (f"ValueError: bad {RANDOM} given", RANDOM),
    (f'+    "API_KEY = \\"{S}\\"\\n",', S),
    ('{"source": ["password = \'letmein\'\\n"]}', "letmein"),
    (f"-----BEGIN PRIVATE KEY-----\n{PEM_LINE}\n{PEM_LINE}\n-----END PRIVATE KEY-----", PEM_LINE),
    (f'k = "-----BEGIN RSA PRIVATE KEY-----\\n{PEM_LINE}\\n-----END RSA PRIVATE KEY-----"', PEM_LINE),
    (f"-----BEGIN OPENSSH PRIVATE KEY-----\n{PEM_LINE}\n{PEM_LINE[:20]}", PEM_LINE[:20]),
    (f"secretKey: {S}", S),
    (f"dbPassword = '{S}'", S),
    (f"USERPASSWORD='{S}'", S),
    (f"'client_secret' => '{S}'", S),
    ("key = 'Xk29sD02ks9'", "Xk29sD02ks9"),
    ("auth = 'Xk29sD02ks9'", "Xk29sD02ks9"),
]

SLACK_HOOK = "T0ABCD123/B0ABCD123/" + "q7Xk29sD02ksZ1vB8nM4wQ6y"
BASIC = "bWU6aHVudGVyMi1jb3JyZWN0"

HIDDEN += [
    ('db_pass = "letmein"', "letmein"),
    ("pin = 4821", "4821"),
    ("creds = ('me', 'letmein')", "letmein"),
    (f'post("https://hooks.slack.com/services/{SLACK_HOOK}")', SLACK_HOOK),
    (f"https://discord.com/api/webhooks/123456789012345678/{RANDOM * 2}", RANDOM),
    ("!mysql -u root -pletmein db", "letmein"),
    ("sshpass -p letmein ssh me@host", "letmein"),
    ("curl -u me:letmein https://example.org", "letmein"),
    ("machine example.org login me password letmein", "letmein"),
    ("CREATE USER me WITH PASSWORD 'letmein'", "letmein"),
    ("<password>letmein</password>", "letmein"),
    (f'{{"auths": {{"ghcr.io": {{"auth": "{BASIC}"}}}}}}', BASIC),
    ("Set-Cookie: sessionid=letmein22; Path=/", "letmein22"),
    ("postgresql://me:p@ss/word@db:5432/x", "ss/word"),
    ("mongodb://me:a@b@c@host.example.org/x", "b@c"),
    ('user, password = "me", "letmein"', "letmein"),
    ('password, user = "letmein", "me"', "letmein"),
    ('{"name": "DB_PASSWORD", "value": "letmein"}', "letmein"),
    ('parser.add_argument("--password", type=str, default="letmein")', "letmein"),
    ("[db]\npassword = letmein\n", "letmein"),
    ("db:\n  password: letmein\n", "letmein"),
]

#: Further places of the password ``letmein9``.
PLACES = r"""
props.put("password", "letmein9");
define('DB_PASSWORD', 'letmein9');
DriverManager.getConnection("jdbc:mysql://h/db", "root", "letmein9")
builder.password("letmein9")
client.username_pw_set("me", "letmein9")
jwt.encode(payload, "letmein9", algorithm="HS256")
keyring.set_password("service", "me", "letmein9")
auth = "me:letmein9"
c.setopt(pycurl.USERPWD, "me:letmein9")
PASSWORD := letmein9
password "letmein9"
requirepass letmein9
jdbc:oracle:thin:scott/letmein9@//h:1521/x
<secret><![CDATA[letmein9]]></secret>
<param name="Password" value="letmein9"/>
ALTER USER me IDENTIFIED WITH mysql_native_password BY 'letmein9'
INSERT INTO accounts (email, passwd) VALUES ('a@b.c', 'x'), ('d@e.f', 'letmein9');
["curl", "-u", "me:letmein9", "https://example.org"]
echo letmein9 | docker login --password-stdin
cmdkey /add:x /user:me /pass:letmein9
jupyter lab --ServerApp.token=letmein9
Cookie: theme=dark; session_token=letmein9
the password is letmein9!
""".strip("\n").split("\n")
HIDDEN += [(text, "letmein9") for text in [*PLACES, "password: |\n  letmein9\nport: 1\n"]]

KEPT = [
    "max_tokens=100",
    "n_tokens = 5",
    'token_pattern=r"(?u)\\b\\w\\w+\\b"',
    'key="id"',
    'sorted(rows, key="customer_id")',
    "sort_key = 'feature_12'",
    "rows.sort(key=lambda row: row[0])",
    "df.merge(other, left_on='key', right_on='key2')",
    'author = "Anna Karenina"',
    'monkey = "banana"',
    'keyword = "search"',
    'keywords=["alpha", "beta"]',
    "tokenizer = AutoTokenizer.from_pretrained('bert-base-uncased')",
    'pad_token="[PAD]", eos_token="</s>", unk_token="UNK"',
    "token = None",
    "password = True",
    "secret = 12.5",
    "api_key = os.environ['OPENAI_API_KEY']",
    'api_key = os.getenv("OPENAI_API_KEY")',
    "token = get_token()",
    "connect(password=password, token=cfg.token)",
    "connect(password=pw, key=column)",
    'password = getpass("Password: ")',
    'token = input("token=")',
    'print("key: " + value)',
    'f"postgresql://{user}:{password}@{host}/db"',
    'password = f"{prefix}{rest}"',
    'password = "${DB_PASSWORD}"',
    'password="***"',
    "def login(user: str, password: str) -> None: ...",
    "class Token: value: int",
    'TOKEN_URL = "https://example.org/oauth/token"',
    'SECRET_NAME = "db-credentials"',
    "SSH_AUTH_SOCK=/tmp/ssh-Abc12/agent.1",
    'df[["token", "word", "count"]]',
    "commit 4b8f84e0a1b2c3d4e5f60718293a4b5c6d7e8f90",
    "sha256 = 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855'",
    "id = '019aa7c4-7b1e-7f00-8c11-9f5a6d3e2b10'",
    "run 019aa7c47b1e7f008c119f5a6d3e2b10",
    "HistGradientBoostingRegressor(max_depth=6)",
    "X_train_2013_January_v2 = split(flights_2013_Q1)",
    "/home/User1/Projects/Flight2013/data/Part01/file.parquet",
    "'s3://bucket/Year2013/Month01/part-00000.snappy.parquet'",
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789",
    '"integrity": "sha512-q7Xk29sD02ksZ1vB8nM4wQ6yT3uIq7Xk29sD02ksZ1vB8nM4wQ6yT3uI=="',
    '"image/png": "' + "iVBORw0KGgoAAAANSUhEUgAAAoAAAAHgCAYAAAA10dzkX9bq" * 20 + '"',
    "Bearer authentication is needed",
    "Basic Authentication",
    "see https://example.org:8080/path?email=a@b.org",
    "git@github.com:owner/name.git",
    "epoch 3: key metric 0.93, tokens: 1024",
    "learning_rate = 1e-3; batch_size = 32",
    "key: int64, token: float32",
    "the secret of the token is simple",
    "a PRIVATE KEY is never printed",
    "-----END PRIVATE KEY-----",
    'if "-----BEGIN PRIVATE KEY-----" in text: raise ValueError("no key")',
    'primary_key = "order_id"',
    "keys = ['a', 'b', 'customer_id']",
    "for key, value in items: total[key] = value",
    "model.named_steps['columntransformer'].get_feature_names_out()",
    "https://example.org/project/scikit-learn/1.8.0/",
    "pw = power",
    "token = tokens[0]",
    "else: pass",
    "class Password: pass",
    "PWD=/home/me/work",
    "GOOGLE_APPLICATION_CREDENTIALS=/home/me/key.json",
    "https://github.com/a/b/archive/refs/heads/main.zip?x=a@b",
    "https://user:8080/path@2x.png",
    "git+https://github.com/a/b.git@v1.0#egg=b",
    'DATA_VERSION="4b8f84e0a1b2c3d4e5f60718293a4b5c6d7e8f90"',
    "key: PositionalIndexer2D,",
    'API_KEY = "api_key"',
    'password = "${PASSWORD}"',
    'if token == ")": return',
    'class="sk-toggleable__content sk-estimator-doc-link"',
    "mysql -u root -p shop",
    'run("mysql -u root -p" + pw + " shop")',
    'run("tool --password " + pw + " --host x")',
    'sql = "ALTER USER me PASSWORD \'" + pw + "\'"',
    "cmd = 'curl -u ' + user + ':' + pw + ' https://example.org'",
    'headers = {"Authorization": "Bearer " + token}',
    'xml = f"<password>{pw}</password>"',
    "Client(token=tok2)",
    "pbeWithSHAAnd128BitRC4 = oid(12, 1)",
    'arn = "alias/my-key"; encryption_key_id = arn',
    "print(\"the next token is ';'\")",
    "docker run -p 8080:80 image",
    "ssh -p 2222 me@host",
    "",
    "***",
]


@pytest.mark.parametrize(("text", "secret"), HIDDEN)
def test_a_secret_is_hidden(text, secret):
    masked = mask(text)
    assert secret not in masked
    assert MASK in masked
    assert mask(masked) == masked


@pytest.mark.parametrize("text", KEPT)
def test_what_is_no_secret_is_kept(text):
    assert mask(text) == text


def test_what_stands_around_a_secret_is_kept():
    assert mask('connect("me", password="a b\\"c", port=5432)') == 'connect("me", password="***", port=5432)'
    assert mask("postgresql://me:pw@db:5432/x") == "postgresql://me:***@db:5432/x"
    assert mask('a = 1\nTOKEN = "x1"  # mine\nb = 2\n') == 'a = 1\nTOKEN = "***"  # mine\nb = 2\n'
    assert mask('requests.get(u, auth=("me", "hunter22xY7"))') == 'requests.get(u, auth=("me", "***"))'


@pytest.mark.parametrize(
    "name",
    [
        "password",
        "DB_PASSWORD",
        "apiKey",
        "API_KEY",
        "x-api-key",
        "userpassword",
        "GH_TOKEN",
        "client_secret",
        "AWSSecretKey",
        "sshKey",
        "credentials",
        "PGPASSWD",
        "Authorization",
        "db_pass",
        "smtpPass",
        "dbpass",
        "KAFKA_PASS",
        "admin_pw",
        "PW",
        "passcode",
        "passCode",
        "card_pin",
        "PIN",
        "pin_code",
        "aws_creds",
        "CREDS",
        "DB_PASS_PROD",
        "access_key_id",
        "PWD",
    ],
)
def test_names_of_secrets(name):
    assert name_strength(name) == "strong"


@pytest.mark.parametrize(
    "name",
    [
        "author",
        "monkey",
        "keyword",
        "tokenizer",
        "max_tokens_count",
        "token_pattern",
        "pad_token",
        "secret_name",
        "keyboard",
        "turkey",
        "compass",
        "bypass",
        "forward_pass",
        "n_pass",
        "pass_1",
        "pass_rate",
        "led_pin",
        "pin_memory",
        "spin",
        "has_password",
        "max_token",
        "next_page_token",
        "public_key",
        "cache_key",
        "credits",
        "TOKEN_KEYS",
        "depth",
        "",
    ],
)
def test_names_that_only_look_like_those_of_secrets(name):
    assert name_strength(name) == ""


def test_values_are_masked_by_their_name_and_by_their_form():
    assert mask_value("password", "letmein") == MASK
    assert mask_value("password", b"letmein") == MASK
    assert mask_value("token", 5) == 5
    assert mask_value("token", None) is None
    assert mask_value("use_token", True) is True
    assert mask_value("pin", 4821) == MASK
    assert mask_value("pin", 13) == 13
    assert mask_value("db_pass", "letmein") == MASK
    assert mask_value("pin_memory", True) is True
    assert mask_value("auth", ("me", "letmein")) == ["me", MASK]
    assert mask_value("max_tokens", 100) == 100
    assert mask_value("key", "customer_id") == "customer_id"
    assert mask_value("model__token_pattern", r"(?u)\b\w\w+\b") == r"(?u)\b\w\w+\b"
    assert mask_value("note", f"run with {GITHUB}") == f"run with {MASK}"
    assert mask_value("config", {"user": "me", "password": "x", "depth": 3}) == {
        "user": "me",
        "password": MASK,
        "depth": 3,
    }
    assert mask_value("passwords", ["a", 1, None]) == [MASK, 1, None]
