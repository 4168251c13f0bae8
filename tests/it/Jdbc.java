import java.sql.*;

/** What PostgreSQL's JDBC driver, and tools that stand on it, find on a server with keys: a line for each. */
public class Jdbc {
    static int rows(ResultSet rows) throws SQLException {
        int count = 0;
        while (rows.next()) count++;
        rows.close();
        return count;
    }

    public static void main(String[] args) throws Exception {
        String url = "jdbc:postgresql://" + args[0] + ":" + args[1] + "/default?sslmode=verify-full&sslrootcert=" + args[4];
        try (Connection connection = DriverManager.getConnection(url, args[2], args[3])) {
            DatabaseMetaData about = connection.getMetaData();
            System.out.println("product=" + about.getDatabaseProductName());
            System.out.println("tables=" + (rows(about.getTables(null, "public", "charges", new String[] {"TABLE", "VIEW"})) == 1));
            try (ResultSet columns = about.getColumns(null, "public", "charges", "%")) {
                while (columns.next()) {
                    String name = columns.getString("COLUMN_NAME");
                    if (name.equals("cost_usd") || name.equals("start_time") || name.equals("agent_name")) {
                        System.out.println(name + "=" + columns.getString("TYPE_NAME"));
                    }
                }
            }
            int none = rows(about.getPrimaryKeys(null, "public", "charges")) + rows(about.getImportedKeys(null, "public", "charges"))
                + rows(about.getExportedKeys(null, "public", "charges")) + rows(about.getIndexInfo(null, "public", "charges", false, true))
                + rows(about.getFunctions(null, "public", "%")) + rows(about.getProcedures(null, "public", "%"));
            System.out.println("none=" + none);
            System.out.println("types=" + (rows(about.getTypeInfo()) > 20));
            String sql = "SELECT count(*), sum(cost_usd) FROM model_calls WHERE agent_name <> ? AND input_tokens > ? AND start_time > ?";
            try (PreparedStatement statement = connection.prepareStatement(sql)) {
                statement.setString(1, "nobody");
                statement.setLong(2, 0);
                statement.setTimestamp(3, new Timestamp(0));
                // From the fifth time on the driver prepares it on the server.
                for (int round = 0; round < 8; round++) {
                    try (ResultSet answer = statement.executeQuery()) {
                        answer.next();
                        if (round == 0 || round == 7) System.out.println("sum=" + answer.getLong(1) + " " + answer.getBigDecimal(2));
                    }
                }
            }
            connection.setAutoCommit(false);
            try (Statement statement = connection.createStatement()) {
                statement.setFetchSize(10);
                System.out.println("fetched=" + (rows(statement.executeQuery("SELECT * FROM spans")) > 10));
            }
            connection.commit();
            connection.setAutoCommit(true);
            try (Statement statement = connection.createStatement()) {
                statement.executeUpdate("DELETE FROM charges");
            } catch (SQLException error) {
                System.out.println("delete=" + error.getSQLState());
            }
        }
    }
}
