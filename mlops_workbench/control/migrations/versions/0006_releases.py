"""Releases with who and why, what was served since when, replays before a switch, and versions in quarantine."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_REFUSAL = "the history of releases is append-only"
_TABLES = ("releases", "served", "replays")
_FUNCTION = (
    "CREATE FUNCTION release_refuse() RETURNS trigger LANGUAGE plpgsql AS "
    f"$$ BEGIN RAISE EXCEPTION '{_REFUSAL}'; END $$"
)


def upgrade() -> None:
    """Add the columns, the tables and the triggers that keep the history as it was written."""
    for table, columns in {"releases": ("model", "kind", "actor"), "alias_changes": ("actor", "why")}.items():
        for column in columns:
            op.add_column(table, sa.Column(column, sa.Text(), nullable=False, server_default=""))
    op.add_column("releases", sa.Column("replay", sa.Integer(), nullable=False, server_default="0"))
    # Until now, the reason said in words what the kind says.
    op.execute(
        "UPDATE releases SET kind = CASE WHEN reason LIKE 'deploy %' THEN 'deploy' WHEN reason = 'rollback' "
        "THEN 'rollback' WHEN reason LIKE '% was registered again' THEN 'again' WHEN reason LIKE '% is now version %' "
        "THEN 'alias' ELSE '' END"
    )
    op.create_table(
        "served",
        sa.Column("id", sa.Integer(), primary_key=True, autoincrement=True),
        sa.Column("endpoint", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("since_ms", sa.BigInteger(), nullable=False),
    )
    op.create_index("served_by_endpoint", "served", ["endpoint", "id"])
    op.create_table(
        "replays",
        sa.Column("id", sa.Integer(), primary_key=True, autoincrement=True),
        sa.Column("endpoint", sa.Text(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.Column("report", sa.JSON(), nullable=False),
    )
    op.create_index("replays_by_endpoint", "replays", ["endpoint", "version", "id"])
    op.create_table(
        "quarantines",
        sa.Column("id", sa.Integer(), primary_key=True, autoincrement=True),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("answers", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.Column("lifted_ms", sa.BigInteger(), nullable=False),
        sa.Column("lifted_by", sa.Text(), nullable=False),
        sa.Column("lifted_reason", sa.Text(), nullable=False),
    )
    op.create_index("quarantines_by_model", "quarantines", ["model", "version"])
    op.create_index("quarantines_by_digest", "quarantines", ["digest"])
    for statement in _triggers(op.get_bind().dialect.name):
        op.execute(statement)


def downgrade() -> None:
    """Drop what was added."""
    sqlite = op.get_bind().dialect.name == "sqlite"
    for table in _TABLES:
        for verb in ("update", "delete") if sqlite else ("change",):
            op.execute(f"DROP TRIGGER {table}_{verb}" + ("" if sqlite else f" ON {table}"))
    if not sqlite:
        op.execute("DROP FUNCTION release_refuse()")
    for table in ("quarantines", "replays", "served"):
        op.drop_table(table)
    for table, columns in {"releases": ("model", "kind", "actor", "replay"), "alias_changes": ("actor", "why")}.items():
        with op.batch_alter_table(table) as changed:
            for column in columns:
                changed.drop_column(column)


def _triggers(dialect: str) -> list[str]:
    if dialect == "sqlite":
        return [
            f"CREATE TRIGGER {table}_{verb} BEFORE {verb.upper()} ON {table} "
            f"BEGIN SELECT RAISE(ABORT, '{_REFUSAL}'); END"
            for table in _TABLES
            for verb in ("update", "delete")
        ]
    return [
        _FUNCTION,
        *(
            f"CREATE TRIGGER {table}_change BEFORE UPDATE OR DELETE ON {table} "
            "FOR EACH ROW EXECUTE FUNCTION release_refuse()"
            for table in _TABLES
        ),
    ]
