"""Values that notebooks hand on as files: tables, arrays, models, JSON, figures, texts."""
