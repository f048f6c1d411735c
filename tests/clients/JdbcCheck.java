// What JDBC, PostgreSQL's driver for Java, does with a server of PromptDB. Ends in "all checks
// passed", or fails.
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.Collections;
import org.postgresql.util.PSQLException;

public class JdbcCheck {
  static final String QUESTION =
      "SELECT GENERATE (max_tokens => ?) FROM demo USE shistel PROMPT ?";
  static final String MAYOR = "Who is the mayor of Shistel?";

  static void check(boolean holds, Object what) {
    if (!holds) throw new AssertionError(String.valueOf(what));
  }

  static String ask(PreparedStatement statement, int tokens, String prompt) throws SQLException {
    statement.setInt(1, tokens);
    statement.setString(2, prompt);
    try (ResultSet rows = statement.executeQuery()) {
      check(rows.next(), "no row");
      check(rows.getLong("output_tokens") <= tokens, rows.getLong("output_tokens"));
      check(rows.getDouble("ttft_ms") > 0, "no time");
      return rows.getString("text");
    }
  }

  static void queries(Connection connection) throws SQLException {
    try (Statement statement = connection.createStatement();
        ResultSet rows = statement.executeQuery("SHOW MODELS")) {
      check(rows.getMetaData().getColumnName(1).equals("name"), rows.getMetaData());
      check(rows.next() && rows.getString(1).equals("demo"), "no model");
    }
    try (PreparedStatement statement = connection.prepareStatement(QUESTION)) {
      // From the fifth time on the driver has a statement of its own on the server, and asks for
      // values in binary.
      for (int i = 0; i < 8; ++i) {
        check(ask(statement, 8, MAYOR).equals(" Tebri Jozund"), i);
      }
      ask(statement, 4, "It's \\ 'quoted'; SHOW MODELS");
    }
    try (PreparedStatement statement = connection.prepareStatement(
            "SELECT module, tokens, model FROM pc_modules WHERE schema = ? AND tokens > ? ORDER BY 1")) {
      statement.setString(1, "demo");
      statement.setLong(2, 5);
      boolean found = false;
      try (ResultSet rows = statement.executeQuery()) {
        while (rows.next()) {
          check(rows.getLong(2) > 5 && rows.getString(3).equals("demo"), rows.getString(1));
          found = found || rows.getString(1).equals("shistel");
        }
      }
      check(found, "no module shistel");
    }
  }

  static void errors(Connection connection) throws SQLException {
    try (Statement statement = connection.createStatement()) {
      statement.executeQuery("SELECT GENERATE FROM dmo PROMPT 'x'");
      check(false, "no error");
    } catch (PSQLException error) {
      check(error.getSQLState().equals("42704"), error.getSQLState());
      check(error.getServerErrorMessage().getPosition() == 22, error.getMessage());
      check(error.getServerErrorMessage().getHint().contains("demo"), error.getMessage());
    }
    try (Statement statement = connection.createStatement()) {
      statement.setQueryTimeout(1);  // by a cancel request
      // Many seconds of work on any machine.
      statement.executeQuery(
          "SELECT GENERATE (max_tokens => 1900, ignore_eos => on) FROM demo PROMPT IN ("
              + String.join(", ", Collections.nCopies(256, "'a'")) + ")");
      check(false, "no error");
    } catch (SQLException error) {
      check(error.getSQLState().equals("57014"), error.getSQLState());
    }
  }

  // A portal with a row limit: pieces of an answer as they come.
  static void stream(Connection connection) throws SQLException {
    connection.setAutoCommit(false);
    StringBuilder text = new StringBuilder();
    int pieces = 0;
    try (PreparedStatement statement =
        connection.prepareStatement(QUESTION + " WITH (stream = on)")) {
      statement.setFetchSize(1);
      statement.setInt(1, 8);
      statement.setString(2, MAYOR);
      try (ResultSet rows = statement.executeQuery()) {
        for (; rows.next(); ++pieces) {
          if (rows.getString(1) != null) text.append(rows.getString(1));
        }
      }
    }
    check(pieces > 1 && text.toString().equals(" Tebri Jozund"), pieces + text.toString());
    connection.commit();
    connection.setAutoCommit(true);
  }

  static void metadata(Connection connection) throws SQLException {
    check(connection.getMetaData().getDatabaseMajorVersion() == 15,
        connection.getMetaData().getDatabaseMajorVersion());
    check(connection.isValid(5), "not valid");
    check(connection.getCatalog() != null, "no catalog");
    boolean found = false;
    try (ResultSet rows = connection.getMetaData().getTables(null, null, "pc_mod%", null)) {
      while (rows.next()) found = found || rows.getString("TABLE_NAME").equals("pc_modules");
    }
    check(found, "no table pc_modules");
    found = false;
    try (ResultSet rows = connection.getMetaData().getSchemas()) {
      while (rows.next()) found = found || rows.getString("TABLE_SCHEM").equals("promptdb");
    }
    check(found, "no schema promptdb");
    int columns = 0;
    try (ResultSet rows = connection.getMetaData().getColumns(null, null, "pc_schemas", null)) {
      for (; rows.next(); ++columns) {
        if (rows.getString("COLUMN_NAME").equals("modules")) {
          check(rows.getString("TYPE_NAME").equals("int8"), rows.getString("TYPE_NAME"));
        }
      }
    }
    check(columns == 5, columns);
    try (ResultSet rows =
        connection.getMetaData().getTables(null, "promptdb", "%", new String[] {"VIEW"})) {
      check(!rows.next(), "a view");
    }
    try (ResultSet rows = connection.getMetaData().getPrimaryKeys(null, null, "pc_models")) {
      check(!rows.next(), "a key");
    }
    found = false;
    try (ResultSet rows = connection.getMetaData().getTypeInfo()) {
      while (rows.next()) found = found || rows.getString("TYPE_NAME").equals("float8");
    }
    check(found, "no type float8");
  }

  public static void main(String[] arguments) throws SQLException {
    String url = "jdbc:postgresql://" + System.getenv("PGHOST") + ":" + System.getenv("PGPORT") + "/"
        + System.getenv("PGDATABASE") + "?user=" + System.getenv("PGUSER");
    for (String mode : new String[] {"extended", "simple"}) {
      try (Connection connection = DriverManager.getConnection(url + "&preferQueryMode=" + mode)) {
        errors(connection);
        metadata(connection);
        if (mode.equals("simple")) continue;  // it writes values with casts, '8'::int4
        queries(connection);
        stream(connection);
      }
    }
    System.out.println("all checks passed");
  }
}
