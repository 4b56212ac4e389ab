"""Aliases and their changes; texts have no length, since others determine them."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_TEXTS = {
    "endpoints": {"name": 128, "model": 300},
    "releases": {"endpoint": 128, "reason": 300},
    "pipeline_runs": {"id": 32, "publish": 16, "published": 300},
    "monitors": {"endpoint": 128},
    "alerts": {"id": 32, "endpoint": 128, "kind": 32, "window": 64, "pipeline_run": 32, "trigger": 16},
}


def upgrade() -> None:
    """Create the tables, and widen the columns."""
    op.create_table(
        "aliases",
        sa.Column("model", sa.Text(), primary_key=True),
        sa.Column("alias", sa.Text(), primary_key=True),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("stored", sa.Integer(), nullable=False),
        sa.Column("model_created_ms", sa.BigInteger(), nullable=False),
    )
    op.create_table(
        "alias_changes",
        sa.Column("id", sa.Integer(), primary_key=True, autoincrement=True),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("alias", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("replaced", sa.Integer(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("gate", sa.JSON(), nullable=True),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
    )
    op.create_index("alias_changes_by_model", "alias_changes", ["model", "id"])
    for table, columns in _TEXTS.items():
        with op.batch_alter_table(table) as changed:
            for column, length in columns.items():
                changed.alter_column(column, existing_type=sa.String(length), type_=sa.Text(), existing_nullable=False)


def downgrade() -> None:
    """Drop the tables, and narrow the columns."""
    for table, columns in _TEXTS.items():
        with op.batch_alter_table(table) as changed:
            for column, length in columns.items():
                changed.alter_column(column, existing_type=sa.Text(), type_=sa.String(length), existing_nullable=False)
    op.drop_table("alias_changes")
    op.drop_table("aliases")
