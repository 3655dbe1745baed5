from __future__ import annotations

from rest_framework import serializers

from benchmarks.articles.models import Article


class ArticleSerializer(serializers.ModelSerializer[Article]):
    class Meta:
        model = Article
        fields = (
            "id",
            "title",
            "slug",
            "body",
            "author",
            "published",
            "views",
            "price",
            "created",
            "day",
        )
