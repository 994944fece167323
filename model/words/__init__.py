"""What people say in a prompt, by plain matching of tables: English, nine other languages, emoji."""
