// KafkaMessages.java - writes tests/golden/messages.txt: one random value of every message at every version, encoded by
// Apache Kafka's own serializers.
//
//   java -cp 'LIB/*' tests/golden/KafkaMessages.java < dataplane/proto/digests.txt > tests/golden/messages.txt
//
// Which fields a version has, and which may be null, is read from Kafka's Schema of that version; values come from a
// fixed seed per message and version. A line is "Name version hex".

import java.io.*;
import java.lang.reflect.ParameterizedType;
import java.nio.*;
import java.util.*;
import org.apache.kafka.common.Uuid;
import org.apache.kafka.common.protocol.*;
import org.apache.kafka.common.protocol.types.*;
import org.apache.kafka.common.record.internal.*;

public class KafkaMessages {
    static final String[] PACKAGES = {
        "org.apache.kafka.common.message.", "org.apache.kafka.coordinator.group.generated.",
        "org.apache.kafka.coordinator.transaction.generated.", "org.apache.kafka.coordinator.share.generated.",
        "org.apache.kafka.common.metadata.", "org.apache.kafka.raft.generated.",
        "org.apache.kafka.server.log.remote.metadata.storage.generated.",
        "org.apache.kafka.storage.internals.log.generated.", "org.apache.kafka.storage.generated.",
        "org.apache.kafka.streams.internals.generated."};
    static Random random;

    public static void main(String[] arguments) throws Exception {
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in));
        for (String line; (line = in.readLine()) != null; ) {
            String[] words = line.split(" ");
            short version = Short.parseShort(words[1]);
            Class<?> type = find(words[0]);
            if (type == null) {
                System.err.println("no class for " + words[0]);
                continue;
            }
            random = new Random((words[0] + version).hashCode());
            Message message = (Message) value(type, schema(type, version), 0);
            ObjectSerializationCache cache = new ObjectSerializationCache();
            ByteBuffer to = ByteBuffer.allocate(message.size(cache, version));
            message.write(new ByteBufferAccessor(to), cache, version);
            System.out.println(words[0] + " " + version + " " + HexFormat.of().formatHex(to.array()));
        }
    }

    static Class<?> find(String name) {
        for (String prefix : PACKAGES)
            for (String suffix : new String[] {"", "Data"})
                try {
                    return Class.forName(prefix + name + suffix);
                } catch (ClassNotFoundException e) {
                    continue;
                }
        return null;
    }

    static Schema schema(Class<?> type, int version) throws Exception {
        return ((Schema[]) type.getField("SCHEMAS").get(null))[version];
    }

    static String plain(String name) {
        return name.replace("_", "").toLowerCase();
    }

    // A struct of this class with the fields of this schema.
    static Object value(Class<?> type, Schema schema, int level) throws Exception {
        Object object = type.getConstructor().newInstance();
        for (BoundField bound : schema.fields()) {
            if (bound.def.type instanceof TaggedFields) {
                for (org.apache.kafka.common.protocol.types.Field f :
                        ((TaggedFields) bound.def.type).fields().values())
                    if (random.nextInt(3) != 0)
                        set(object, f.name, f.type, level);
            } else {
                set(object, bound.def.name, bound.def.type, level);
            }
        }
        return object;
    }

    static void set(Object object, String name, Type type, int level) throws Exception {
        for (java.lang.reflect.Field field : object.getClass().getDeclaredFields())
            if (plain(field.getName()).equals(plain(name))) {
                field.setAccessible(true);
                if (type.isNullable() && !field.getType().isPrimitive() && random.nextInt(4) == 0)
                    field.set(object, null);
                else
                    field.set(object, value(field.getType(), field.getGenericType(), type, level));
                return;
            }
        throw new IllegalStateException(object.getClass() + " has no field " + name);
    }

    static Type element(Type type) {
        return type.arrayElementType().get();
    }

    static Object value(Class<?> ctype, java.lang.reflect.Type generic, Type type, int level) throws Exception {
        if (ctype == boolean.class) return random.nextBoolean();
        if (ctype == byte.class || ctype == Byte.class) return (byte) random.nextInt();
        if (ctype == short.class || ctype == Short.class) return (short) random.nextInt();
        if (ctype == int.class || ctype == Integer.class)
            return type.toString().equals("UINT16") ? random.nextInt(65536) : random.nextInt();
        if (ctype == long.class || ctype == Long.class)
            return type.toString().equals("UINT32") ? random.nextLong() & 0xffffffffL : random.nextLong();
        if (ctype == double.class) return random.nextDouble() * 1e6;
        if (ctype == String.class) return "s".repeat(random.nextInt(20) == 0 ? 150 : random.nextInt(8));
        if (ctype == Uuid.class) return new Uuid(random.nextLong(), random.nextLong());
        byte[] bytes = new byte[random.nextInt(12)];
        random.nextBytes(bytes);
        if (ctype == byte[].class) return bytes;
        if (ctype == ByteBuffer.class) return ByteBuffer.wrap(bytes);
        if (BaseRecords.class.isAssignableFrom(ctype)) return MemoryRecords.readableRecords(ByteBuffer.wrap(bytes));
        if (type instanceof Schema) return value(ctype, (Schema) type, level + 1);
        return list(ctype, generic, type, level);
    }

    @SuppressWarnings("unchecked")
    static Object list(Class<?> ctype, java.lang.reflect.Type generic, Type type, int level) throws Exception {
        Class<?> of;
        Collection<Object> to;
        if (generic instanceof ParameterizedType) {
            of = (Class<?>) ((ParameterizedType) generic).getActualTypeArguments()[0];
            to = new ArrayList<>();
        } else {
            ParameterizedType up = (ParameterizedType) ctype.getGenericSuperclass();
            of = (Class<?>) up.getActualTypeArguments()[0];
            to = (Collection<Object>) ctype.getConstructor().newInstance();
        }
        int n = level == 0 ? 1 + random.nextInt(2) : random.nextInt(3);
        for (int i = 0; i < n; i++)
            to.add(value(of, of, element(type), level + 1));
        return to;
    }
}
