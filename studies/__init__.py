"""Studies, one question a file, written against the public interface alone."""
