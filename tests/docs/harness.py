import asyncio

from scrubjay import CacheService, Rejected, cached


class Database:
    def load_user(self, number):
        return {"id": number}

    def rename_user(self, number, name):
        return 1


db = Database()


async def load_user():
    return db.load_user(7)


async def rename_user():
    return db.rename_user(7, "Ada")


SNIPPETS


async def main():
CALLS

asyncio.run(main())
