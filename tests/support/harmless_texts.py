"""Texts of experiments that hold no secret, though they look like one or speak of one; masking must not change them."""

from __future__ import annotations

import base64
import hashlib
import random
import string
import uuid
from collections.abc import Callable

HEX = "0123456789abcdef"
BASE62 = string.ascii_letters + string.digits
MODELS = ["bert-base-uncased", "microsoft/deberta-v3-large", "ResNet50_Weights.IMAGENET1K_V2",
          "meta-llama/Llama-3.1-8B", "HistGradientBoostingRegressor", "facebook/wav2vec2-base-960h"]  # fmt: skip
METRICS = ["val_auc", "token_accuracy", "loss/train", "precision@10", "tokens_per_second", "key_point_ap", "pass_rate"]


def _hex(length: int) -> Callable[[random.Random], str]:
    return lambda r: "".join(r.choices(HEX, k=length))


def _ulid(r: random.Random) -> str:
    return "01" + "".join(r.choices("0123456789ABCDEFGHJKMNPQRSTVWXYZ", k=24))


def _path(r: random.Random) -> str:
    return f"/home/jovyan/Projects/Flight2013/data/v{r.randrange(9)}/part-{r.randrange(10**5):05d}-c000.snappy.parquet"


#: Values that look like secrets and are none.
VALUES: dict[str, Callable[[random.Random], str]] = {
    "git sha": _hex(40),
    "short sha": _hex(8),
    "md5": _hex(32),
    "sha256": _hex(64),
    "sha512": _hex(128),
    "uuid": lambda r: str(uuid.UUID(int=r.getrandbits(128), version=4)),
    "uuid hex": lambda r: uuid.UUID(int=r.getrandbits(128)).hex,
    "image digest": lambda r: f"sha256:{hashlib.sha256(r.randbytes(9)).hexdigest()}",
    "mlflow model": lambda r: f"m-{_hex(32)(r)}",
    "ulid": _ulid,
    "path": _path,
    "s3": lambda r: f"s3://bucket-eu/Year2013/Month{r.randrange(12):02d}/part-{r.randrange(10**5):05d}.parquet",
    "windows path": lambda r: f"C:/Users/Me/Data/Set{r.randrange(99)}/Train_2013_Q{r.randrange(1, 5)}.csv",
    "timestamp": lambda r: (
        f"2026-{r.randrange(1, 13):02d}-{r.randrange(1, 29):02d}T12:{r.randrange(60):02d}:07.123456+00:00"
    ),
    "integer": lambda r: str(r.randrange(10**9)),
    "float": lambda r: repr(r.random()),
    "exponent": lambda r: f"{r.random():.3e}",
    "version": lambda r: (
        f"{r.randrange(9)}.{r.randrange(20)}.{r.randrange(9)}rc{r.randrange(1, 9)}+cu{r.randrange(110, 129)}"
    ),
    "model": lambda r: r.choice(MODELS),
    "metric": lambda r: r.choice(METRICS),
    "class": lambda r: "GradientBoostingClassifierV2WithCalibration",
    "identifier": lambda r: f"x_train_2013_Q{r.randrange(1, 5)}_scaled_v{r.randrange(9)}",
    "column": lambda r: f"PassengerClass_{r.randrange(3)}_FareLog{r.randrange(10)}",
    "png": lambda r: "data:image/png;base64," + base64.b64encode(b"\x89PNG\r\n\x1a\n" + r.randbytes(240)).decode(),
    "jpeg": lambda r: base64.b64encode(b"\xff\xd8\xff\xe0\x00\x10JFIF" + r.randbytes(1500)).decode(),
    "smiles": lambda r: r.choice(
        ["CC(=O)Oc1ccccc1C(=O)O", "CN1C=NC2=C1C(=O)N(C(=O)N2C)C", "C1=CC2=C(C=C1O)C(=CN2)CCN"]
    ),
    "protein": lambda r: "".join(r.choices("ACDEFGHIKLMNPQRSTVWY", k=60)),
    "dna": lambda r: "".join(r.choices("ACGT", k=80)),
    "url": lambda r: f"https://example.org:8443/a/b-{r.randrange(99)}?page={r.randrange(99)}&size=100#top",
    "email": lambda r: f"anna.berg{r.randrange(99)}@example.org",
    "git address": lambda r: "git@github.com:owner/name.git",
    "branch": lambda r: f"feature/ABC-{r.randrange(999)}-faster-tokenizer",
    "wheel": lambda r: f"torch-2.{r.randrange(9)}.0+cu121-cp311-cp311-manylinux_2_17_x86_64.whl",
    "date range": lambda r: f"2013-01-01..2013-{r.randrange(1, 13):02d}-28",
    "experiment": lambda r: f"sweep_lr1e-{r.randrange(2, 6)}_bs{2 ** r.randrange(4, 9)}_seed{r.randrange(99)}_A100x8",
    "arn": lambda r: f"arn:aws:sagemaker:eu-west-1:{r.randrange(10**11, 10**12)}:model/Flights2013",
    "ssh fingerprint": lambda r: "SHA256:" + base64.b64encode(r.randbytes(32)).decode().rstrip("="),
    "integrity": lambda r: "sha512-" + base64.b64encode(r.randbytes(64)).decode(),
    "ssh public key": lambda r: (
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI" + base64.b64encode(r.randbytes(32)).decode()[:43]
    ),
    "bits": lambda r: f"{r.getrandbits(64):064b}",
    "address": lambda r: f"0x{r.getrandbits(48):012x}",
    "ip": lambda r: f"10.0.{r.randrange(255)}.{r.randrange(255)}:8888",
    "mac": lambda r: ":".join(f"{r.randrange(256):02x}" for _ in range(6)),
    "regex": lambda r: r"(?u)\b\w\w+\b",
    "template": lambda r: "{prefix}-{rank:03d}-of-{total:03d}",
    "word": lambda r: r.choice(["gaussian", "linear", "auto", "median", "warn"]),
}

#: Neutral places. ``<v>`` is the value.
PLACES: dict[str, str] = {
    "assignment": 'x = "<v>"\n',
    "run id": 'run_id = "<v>"',
    "keyword": 'load("<v>", n_jobs=4)',
    "json": '{"run": "<v>", "depth": 3}',
    "yaml": "source: <v>\nrows: 12\n",
    "log": "2026-01-02 03:04:05 INFO loaded <v> in 1.2 s\n",
    "table": "   name  <v>\n0  a     1\n",
    "error": "KeyError: '<v>'",
    "environment": "DATA_SOURCE=<v>\n",
    "comment": "# compare with <v>\nx = 1\n",
    "checksum": "checksum: <v>",
    "print": 'print("<v>")',
    "list": 'names = ["<v>", "b"]',
    "list of keys": 'keys = ["<v>", "b"]',
    "tokens": "tokenizer.tokenize('<v>')",
    "flag": "python train.py --source <v> --epochs 3",
    "html": "<td><v></td>",
    "sql": "SELECT * FROM runs WHERE name = '<v>' LIMIT 5;",
}

#: Whole texts, one a line.
LINES = r'''
max_tokens=100
max_new_tokens = 256
n_tokens: 1024
token_count = 5
total_tokens = 1_000_000
num_passes = 10000
n_pass = 3
first_pass = "coarse"
forward_pass = model(x)
lowpass = butter(4, 0.1, "lowpass")
band_pass = (0.5, 30.0)
passengers = df["passengers"]
passengers=144
passed = True
tests_passed = "12 of 12"
bypass = "none"
compass = "north"
pinned=True
pin_memory=True
DataLoader(ds, batch_size=32, pin_memory=True, num_workers=2)
pin = 13
LED_PIN = 18
pins = [3, 5, 7]
spin = "up"
opinion = "good"
pw = power
pw = 3.5
pw = compute_power(signal, fs)
credits = 120
credit_score = "high"
incredible = "yes"
tokenizer="bert"
tokenizer = AutoTokenizer.from_pretrained("bert-base-uncased")
pad_token = "<pad>"
eos_token="</s>"
special_tokens={"pad_token": "[PAD]", "cls_token": "[CLS]"}
token_pattern=r"(?u)\b\w\w+\b"
mask_token = tokenizer.mask_token
next_token = tokens[i + 1]
token = tokens[0]
tokens = text.split()
for token in doc: print(token.text)
token = line.strip()
password = getpass()
password = getpass("Password: ")
password = getpass.getpass(prompt="Password: ")
password = input("Password: ")
password = os.environ["DB_PASSWORD"]
password = os.environ.get("DB_PASSWORD")
os.environ["X_TOKEN"]
token = os.getenv("X_TOKEN")
token = userdata.get("HF_TOKEN")
api_key = dbutils.secrets.get(scope="prod", key="openai")
api_key=settings.api_key
client = OpenAI(api_key=api_key)
secret = st.secrets["db"]
secret = client.get_secret_value(SecretId="prod/db")
password = keyring.get_password("db", "me")
creds = service_account.Credentials.from_service_account_file("key.json")
credentials = None
credentials, project = google.auth.default()
user, password = load()
user, password = sys.argv[1:3]
def connect(user, password, host="localhost"):
def connect(user: str, password: str = "") -> Connection:
    password: str
    api_key: SecretStr | None = None
    token: Optional[str] = None
if not password: raise ValueError("no password")
assert token is not None
del password
password = ""
password = None
token = True
export PATH=/usr/local/bin:$PATH
export TOKEN=$GITHUB_TOKEN
export DB_PASSWORD="${DB_PASSWORD}"
password: ${{ secrets.DB_PASSWORD }}
password: !vault |
password: <your password>
password = "{password}"
f"postgresql://{user}:{password}@{host}:{port}/{db}"
"postgresql://%s:%s@%s/x" % (user, password, host)
postgresql://localhost:5432/flights
https://user@example.org/path
mysql -u root -p shop
mysql -u root -p
mysql -h db -P 3306 -u root -p shop < dump.sql
mkdir -p /data/models
docker run -p 8080:80 -p 443:443 image
docker login -u me --password-stdin registry.example.org
curl -s https://example.org/data.csv -o data.csv
curl -u "$USER:$TOKEN" https://example.org
ssh -p 2222 me@host
tar -xzpf a.tar.gz
sort -u names.txt
python -u train.py
git push -u origin main
unzip -P "$ZIP_PASSWORD" a.zip
nc -p 4444 host
pytest -p no:cacheprovider
cp -p a b
echo "done" | tee log.txt
key=lambda row: row[0]
sorted(d, key=len)
sorted(rows, key=itemgetter(1))
key="customer_id"
df.merge(other, on="key")
df.sort_values("key", key=abs)
primary_key = "order_id"
sort_key="feature_12"
foreign_key = "customers.customer_id"
cache_key = "a1b2c3d4e5f60718293a4b5c6d7e8f90"
partition_key = "2013-01"
jax.random.PRNGKey(0)
key = jax.random.PRNGKey(42)
key, subkey = jax.random.split(key)
rng_key=0
keys = df.columns
keys = ["a", "b", "customer_id"]
keyword = "search"
keypoints = [[0.1, 0.2]]
monkey = "banana"
for key, value in items: total[key] = value
dict_keys(['loss', 'accuracy', 'val_loss'])
KeyError: 'passenger_class'
KeyError: 'token_type_ids'
author = "Anna Karenina"
authors: A. Berg, B. Lind
authenticated = True
auth = None
auth=auth
auth = HTTPBasicAuth(user, password)
oauth_scope = "read:user"
cookies = load_cookies("cookies.txt")
cookie_cutter = "template"
secretary = "desk"
secret_santa = "Bob"
encryption = "none"
signature = infer_signature(X, y)
signature: inputs ['a': double] outputs ['prediction': double]
session_id = "019aa7c4-7b1e-7f00-8c11-9f5a6d3e2b10"
the password is required
the password is wrong
your password must be at least 8 characters
Enter your password:
Password:
password: required
Invalid password for user me
Permission denied (publickey,password).
401 Unauthorized: token expired
the secret of the token is simple
each token is 4 characters
API key: missing
the api key is not set; run export OPENAI_API_KEY=...
set WANDB_API_KEY to log in
use "wandb login" first
hint: pass token=... or log in with huggingface-cli login
passwords are never stored
Bearer authentication is needed
Basic Authentication
The key metric is val_auc = 0.93
epoch 3: key metric 0.93, tokens: 1024, pass 2 of 3
pass 1: loss 0.52
first pass: 3.2 s
PASS tests/test_a.py
a PRIVATE KEY is never printed
-----BEGIN PUBLIC KEY-----
-----BEGIN CERTIFICATE-----
password_column = "pw_hash"
password_policy = "strict"
password_length = 12
token_url = "https://example.org/oauth/token"
TOKEN_PATH=/run/secrets/token
secret_name = "prod/db"
api_key_file = "/run/secrets/openai"
SSH_AUTH_SOCK=/tmp/ssh-Abc12/agent.1
PWD=/home/jovyan/work
OLDPWD=/home/jovyan
pwd = os.getcwd()
XDG_SESSION_ID=12
GPG_KEY=E3FF2839C048B25C084DEBE9B26995E310250568
KMP_AFFINITY=granularity=fine,compact,1,0
OMP_NUM_THREADS=8
TOKENIZERS_PARALLELISM=false
CUDA_VISIBLE_DEVICES=0,1,2,3
columns = ["user", "password", "age"]
df.drop(columns=["password", "token"])
df["password"].nunique()
Index(['user', 'password', 'age'], dtype='object')
password    object
token      float32
key: int64, token: float32
CREATE TABLE users (name TEXT, password TEXT NOT NULL, pin INTEGER);
SELECT password FROM users WHERE name = 'me';
ALTER TABLE users DROP COLUMN password;
SELECT count(*) AS passes FROM flights WHERE pass = 1;
<password></password>
<input type="password" name="password" placeholder="Password"/>
<label for="password">Password</label>
{"type": "object", "properties": {"password": {"type": "string"}}}
{"token": null, "password": ""}
{"usage": {"prompt_tokens": 12, "completion_tokens": 5}}
{"auth": {"type": "none"}}
{"auth": "basic"}
logits = head(tokens); key, value = self.kv(x).chunk(2)
q, k, v = self.query(x), self.key(x), self.value(x)
self.key = nn.Linear(dim, dim)
attn_key = attn["key"]
n_credentials = 4
shape=(32, 128), key_padding_mask=None
model.fit(X, y, sample_weight=None, verbose=2)
RandomForestClassifier(n_estimators=100, max_depth=6, random_state=42)
learning_rate = 1e-3; batch_size = 32
metrics = {"tokens/s": 1234.5, "pass@1": 0.62, "pass@10": 0.81}
pass@1 = 0.62
word2vec_v2 = "GoogleNews-vectors-negative300.bin"
"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
alphabet = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+/"
parser.add_argument("--password", help="password of the database")
parser.add_argument("--token", default=None)
parser.add_argument("--max-tokens", type=int, default=100)
parser.add_argument("--key", default="customer_id", help="key of the join")
@click.option("--password", prompt=True, hide_input=True)
st.text_input("Password", type="password")
widgets.Password(description="Password:")
login(user, password)
login()
smtp.login(user, password)
wandb.login()
huggingface_hub.login(token=token)
mlflow.set_tag("token", "bos")
smart_open(url, transport_params={"client": client})
try: import foo
except ImportError: pass
class Password: pass
with suppress(KeyError): del d["token"]
url = "https://example.org/reset-password?lang=en"
see https://example.org/docs/api-keys#create-a-key
https://hooks.slack.com/services/
Set-Cookie: theme=dark; Path=/
set-cookie: lang=en-US; Path=/; Secure
Cookie: theme=light; lang=en
machine learning login page and password form
machine: x86_64
PASSWORD 'must not be empty'
GRANT SELECT ON runs TO me;
'''.strip("\n").split("\n")  # fmt: skip


def fits(place: str, value: str) -> bool:
    """Whether a value can stand in a place: not quoted text in quotes."""
    quotes = PLACES[place].count("'") or PLACES[place].count('"')
    return not (quotes and any(sign in value for sign in "\"'\\"))
