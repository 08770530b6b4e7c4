"""The paper's study: its networks by name, evaluation, stored rows, analyses, exercises."""
